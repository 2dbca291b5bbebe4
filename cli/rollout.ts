import { Command } from "commander";
import { Campaign } from "#protocol/api/campaign.ts";
import { Firmware } from "#protocol/api/firmware.ts";
import { answered, answering, path } from "./answering.ts";
import { targetOf, withTarget, type ContentOptions } from "./campaign-content.ts";
import { given } from "./given.ts";
import { stateText } from "./campaign-view.ts";
import { sha256Of, uploadImage, type ImageFields } from "./firmware-upload.ts";
import type { Gateway } from "./gateway.ts";
import { queryOf, readPages } from "./listing.ts";
import { moment } from "./moment.ts";
import { jsonText, names, oneOf } from "./option-values.ts";
import { campaignId, firmwareId } from "./reference.ts";
import { UsageError } from "./usage-error.ts";

/** An update goes by its version: what its campaign is called. */
const nameOf = (version: string) => `Update ${version}`;

interface CreateOptions {
  version: string;
  description?: string;
  images?: unknown;
  releases?: string[];
  hardware: string[];
  channel: string;
  critical?: true;
}

/** `latticeway create-update` */
export function createUpdateCommand(): Command {
  const command = new Command("create-update")
    .description("Publish the images of an update, and make the draft of a campaign for it")
    .requiredOption("--version <version>", "of the update, and of the images")
    .option("--description <text>", "what it is for")
    .option("--images <json>", 'files by type of ECU: {"brake-controller": "brake.bin"}', jsonText)
    .option(
      "--releases <list>",
      "what is published already: ids, or brake-controller@2.0.0,…",
      names,
    )
    .option("--hardware <versions>", "hardware that the images run on", names, ["HW-1.0"])
    .addOption(oneOf("--channel <name>", "of the images", ["stable", "beta"]).default("stable"))
    .option("--critical", "it goes before others");
  return answering<CreateOptions>(command, {
    examples: [
      "latticeway create-update --version 1.2.0 --description 'Shorter way to stop' \\\n      --images '{\"brake-controller\": \"brake.bin\"}' --hardware HW-1.0 --critical",
    ],
    async run(gateway, { version, description, critical, ...options }) {
      const ids: string[] = [];
      for (const each of options.releases ?? []) ids.push(await firmwareId(gateway, each));
      for (const [ecu_type, file] of imagesOf(options.images)) {
        ids.push(
          await published(gateway, file, {
            ...{ ecu_type, version, critical, channel: options.channel },
            hardware_versions: options.hardware,
            availability: "campaign",
          }),
        );
      }
      if (ids.length === 0) throw new UsageError("Say what it brings: --images or --releases");
      const draft = { name: nameOf(version), releases: ids, ...given({ description, critical }) };
      return answered(
        await gateway.send("POST", "/campaigns", draft, Campaign),
        (campaign) =>
          `${campaign.name} is a draft (${campaign.campaign_id}).\nThen: latticeway rollout --version ${version} --filter all`,
      );
    },
  });
}

/** @throws UsageError */
function imagesOf(images: unknown): [string, string][] {
  if (images === undefined) return [];
  const list = typeof images === "object" && images !== null ? Object.entries(images) : [];
  if (list.length > 0 && list.every(([, file]) => typeof file === "string"))
    return list as [string, string][];
  throw new UsageError('--images is an object like {"brake-controller": "brake.bin"}.');
}

/** An image that is there already, from a try before or from a release manager, is taken as it is. */
async function published(gateway: Gateway, file: string, fields: ImageFields): Promise<string> {
  const { ecu_type, version } = fields;
  const at = `/firmware${queryOf({ ecu_type, version, status: "active" })}`;
  const { items } = await readPages(gateway, Firmware, { path: at, most: undefined });
  const there = items.find((each) => each.version === version);
  if (there && there.sha256 === (await sha256Of(file))) return there.firmware_id;
  return (await uploadImage(gateway, file, fields)).firmware_id;
}

interface RolloutOptions extends ContentOptions {
  campaign?: string;
  version?: string;
  start: string;
}

/** `latticeway rollout` */
export function rolloutCommand(): Command {
  const command = withTarget(
    new Command("rollout")
      .description("Say for which vehicles a draft is, hand it in, and start it as soon as it may")
      .option("--campaign <campaign>", "the draft, by id or name")
      .option("--version <version>", "the draft of `create-update` for this version"),
  )
    .option("--start <time>", "now, or when", startTime, "now")
    .option("--end <time>", "when it ends", moment);
  return answering<RolloutOptions>(command, {
    examples: [
      "latticeway rollout --version 1.2.0 --vehicles VMG-001,VMG-002,VMG-003 --percentage 50 --stagger 5",
      "latticeway rollout --campaign 'Brakes 2.0.0' --filter 'region == \"EU\"' --waves 5,20,75 --stagger 1440",
    ],
    run: async (gateway, options) => answered(await rollOut(gateway, options), stateText),
  });
}

function startTime(text: string): string {
  return text === "now" ? text : moment(text);
}

async function rollOut(gateway: Gateway, options: RolloutOptions): Promise<Campaign> {
  const { campaign, version, start, end } = options;
  if ((campaign === undefined) === (version === undefined)) {
    throw new UsageError("Say which draft: --campaign or --version");
  }
  const id = await campaignId(gateway, campaign ?? nameOf(version ?? ""), "draft");
  const at = path`/campaigns/${id}`;
  const { revision } = await gateway.get(at, Campaign);
  // A start that has passed by the time of the approval is one at once.
  const starts_at = start === "now" ? new Date().toISOString() : start;
  const change = { revision, starts_at, ...given({ ...targetOf(options), ends_at: end }) };
  const changed = await gateway.send("PATCH", at, change, Campaign);
  const submitted = await gateway.send(
    "POST",
    `${at}/submit`,
    { revision: changed.revision },
    Campaign,
  );
  if (start !== "now" || submitted.state !== "scheduled") return submitted;
  return gateway.send("POST", `${at}/start`, { revision: submitted.revision }, Campaign);
}
