import { readFile, writeFile } from "node:fs/promises";
import { Command } from "commander";
import { Firmware, FirmwareDetail, type FirmwarePatch } from "#protocol/api/firmware.ts";
import { answered, answering, done, path } from "./answering.ts";
import { demandYes } from "./ask.ts";
import { details } from "./details.ts";
import { putSbom, uploadCommand } from "./firmware-upload.ts";
import { listCommand } from "./listing.ts";
import { moment } from "./moment.ts";
import { flag, names, oneOf } from "./option-values.ts";
import { byteText } from "./progress-bar.ts";
import { firmwareId } from "./reference.ts";
import { requirement, type Requirement } from "./requirement.ts";
import { UsageError } from "./usage-error.ts";

const REFERENCE = "its id, or brake-controller@2.0.0";

/** `latticeway firmware …` */
export function firmwareCommand(): Command {
  return new Command("firmware")
    .description("The catalogue: images that vehicles can be given")
    .addCommand(uploadCommand())
    .addCommand(firmwareList())
    .addCommand(showCommand())
    .addCommand(updateCommand())
    .addCommand(promoteCommand())
    .addCommand(archiveCommand())
    .addCommand(sbomCommand());
}

function firmwareList(): Command {
  const command = new Command("list")
    .description("Images, newest first")
    .option("--ecu-type <type>", "of this type of ECU")
    .option("--version <start>", "whose version begins so")
    .option("--min-version <version>", "from this version on")
    .option("--max-version <version>", "up to this version")
    .option("--hardware-version <version>", "that run on this hardware")
    .addOption(oneOf("--channel <name>", "on this channel", ["stable", "beta"]))
    .addOption(oneOf("--status <status>", "in use, or archived", ["active", "archived"]))
    .addOption(oneOf("--availability <how>", "offered how", ["channel", "campaign"]))
    .addOption(oneOf("--publication <state>", "signed or not", ["published", "awaiting_signature"]))
    .option("--component <name>", "with this component in the SBOM")
    .option("--component-version <version>", "of that component")
    .option("--purl <purl>", "with the component of this package URL in the SBOM")
    .option("--from <time>", "published since", moment)
    .option("--to <time>", "published before", moment)
    .option(
      "--sort <order>",
      "created, version, ecu_type or build_number; -created is newest first",
    );
  return listCommand(command, {
    path: () => "/firmware",
    item: Firmware,
    columns: {
      "ECU TYPE": (it) => it.ecu_type,
      VERSION: (it) => it.version,
      CHANNEL: (it) => it.channel,
      OFFERED: (it) => (it.status === "archived" ? "archived" : `by ${it.availability}`),
      HARDWARE: (it) => it.hardware_versions.join(","),
      SIZE: (it) => byteText(it.size),
      PUBLISHED: (it) => it.created_at,
      ID: (it) => it.firmware_id,
    },
    spare: ["ID", "SIZE"],
    none: "No firmware fits. Publish an image: latticeway firmware upload",
    examples: [
      "latticeway firmware list --ecu-type brake-controller --sort -version",
      "latticeway firmware list --purl pkg:deb/debian/openssl --json",
    ],
  });
}

function showCommand(): Command {
  const command = new Command("show")
    .description("All about an image")
    .argument("<firmware>", REFERENCE);
  return answering(command, {
    examples: ["latticeway firmware show brake-controller@2.0.0"],
    run: async (gateway, _options, firmware = "") =>
      answered(
        await gateway.get(path`/firmware/${await firmwareId(gateway, firmware)}`, FirmwareDetail),
        details,
      ),
  });
}

interface UpdateOptions {
  stable?: true;
  hardware?: string[];
  minCurrentVersion?: string;
  critical?: boolean;
  notes?: string;
  requires?: Requirement[];
  rxswin?: string;
  availability?: "channel" | "campaign";
}

function updateCommand(): Command {
  const command = new Command("update")
    .description("Change what is said of an image; the image itself never changes")
    .argument("<firmware>", REFERENCE)
    .option("--stable", "offer it on stable, as `firmware promote` does")
    .option("--hardware <versions>", "hardware that it runs on: HW-1.0,HW-1.1", names)
    .option(
      "--min-current-version <version>",
      "it is not installed over anything older; none for any",
    )
    .option("--critical <true|false>", "mark it as critical, or no more", flag)
    .option("--notes <text>", "release notes; none for no notes")
    .option(
      "--requires <need>",
      "of other ECUs, in place of what was said; repeatable",
      requirement,
    )
    .option("--rxswin <id>", "RxSWIN; none for none")
    .addOption(
      oneOf("--availability <how>", "channel is the general release", ["channel", "campaign"]),
    );
  return answering<UpdateOptions>(command, {
    examples: [
      "latticeway firmware update brake-controller@2.0.0 --availability channel",
      "latticeway firmware update brake-controller@2.0.0 --stable --notes 'Shorter way to stop'",
    ],
    async run(gateway, options, firmware = "") {
      const id = await firmwareId(gateway, firmware);
      const patch = patchOf(options);
      const at = path`/firmware/${id}`;
      const changed = patch && (await gateway.send("PATCH", at, patch, FirmwareDetail));
      const promoted =
        options.stable && (await gateway.send("POST", `${at}/promote`, undefined, FirmwareDetail));
      return answered(promoted ?? changed, (it) => (it ? details(it) : ""));
    },
  });
}

/** @throws UsageError where nothing is to be changed */
function patchOf(options: UpdateOptions): FirmwarePatch | undefined {
  const { stable, hardware, minCurrentVersion, critical, notes, requires, rxswin, availability } =
    options;
  const orNull = (text: string) => (text === "none" ? null : text);
  const patch: FirmwarePatch = {
    ...(hardware && { hardware_versions: hardware }),
    ...(minCurrentVersion !== undefined && { min_current_version: orNull(minCurrentVersion) }),
    ...(critical !== undefined && { critical }),
    ...(notes !== undefined && { release_notes: orNull(notes) }),
    ...(requires && { requires }),
    ...(rxswin !== undefined && { rxswin: orNull(rxswin) }),
    ...(availability && { availability }),
  };
  if (Object.keys(patch).length > 0) return patch;
  if (stable) return undefined;
  throw new UsageError("Say what is to change: latticeway firmware update --help");
}

function promoteCommand(): Command {
  const command = new Command("promote")
    .description("Offer a beta on stable")
    .argument("<firmware>", REFERENCE);
  return answering(command, {
    examples: ["latticeway firmware promote brake-controller@2.0.0"],
    async run(gateway, _options, firmware = "") {
      const to = path`/firmware/${await firmwareId(gateway, firmware)}/promote`;
      return answered(
        await gateway.send("POST", to, undefined, FirmwareDetail),
        ({ ecu_type, version }) => `${ecu_type} ${version} is on stable.`,
      );
    },
  });
}

function archiveCommand(): Command {
  const command = new Command("archive")
    .description(
      "Take an image out of use, for good: no vehicle is offered it, none can download it",
    )
    .argument("<firmware>", REFERENCE)
    .option("--yes", "do not ask");
  return answering<{ yes?: true }>(command, {
    examples: ["latticeway firmware archive brake-controller@2.0.0 --yes"],
    async run(gateway, options, firmware = "") {
      const id = await firmwareId(gateway, firmware);
      await demandYes(`${firmware} can't be offered or downloaded ever again.`, options);
      return answered(
        await gateway.send("POST", path`/firmware/${id}/archive`, undefined, FirmwareDetail),
        ({ ecu_type, version }) => `${ecu_type} ${version} is archived.`,
      );
    },
  });
}

function sbomCommand(): Command {
  const get = answering<{ out?: string }>(
    new Command("get")
      .description("Print the SBOM of an image, or write it into a file")
      .argument("<firmware>", REFERENCE)
      .option("--out <file>", "where to write it"),
    {
      examples: ["latticeway firmware sbom get brake-controller@2.0.0 --out brake.cdx.json"],
      async run(gateway, { out }, firmware = "") {
        const id = await firmwareId(gateway, firmware);
        const document = await gateway.file(path`/firmware/${id}/sbom`);
        if (out === undefined) {
          const text = document.toString("utf8");
          return { json: JSON.parse(text) as unknown, text };
        }
        await writeFile(out, document);
        return done(`Written: ${out} (${document.length} bytes).`);
      },
    },
  );
  const put = answering(
    new Command("put")
      .description("Attach an SBOM (CycloneDX, JSON) to an image, in place of the one it has")
      .argument("<firmware>", REFERENCE)
      .argument("<file>", "the document"),
    {
      examples: ["latticeway firmware sbom put brake-controller@2.0.0 brake.cdx.json"],
      run: async (gateway, _options, firmware = "", file = "") =>
        answered(
          await putSbom(gateway, await firmwareId(gateway, firmware), await readFile(file)),
          ({ component_count }) => `Attached: ${component_count} components.`,
        ),
    },
  );
  return new Command("sbom")
    .description("What an image consists of (CycloneDX)")
    .addCommand(get)
    .addCommand(put);
}
