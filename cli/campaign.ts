import { Command } from "commander";
import {
  Campaign,
  CampaignSummary,
  CampaignVehicle,
  campaignStates,
  campaignVehicleStatuses,
} from "#protocol/api/campaign.ts";
import { DryRun } from "#protocol/api/dry-run.ts";
import { answered, answering, done, path } from "./answering.ts";
import { demandYes } from "./ask.ts";
import { actionCommands } from "./campaign-actions.ts";
import { contentOf, patchOf, withContent, type ContentOptions } from "./campaign-content.ts";
import { progressCommand } from "./campaign-progress.ts";
import { dryRunText, stateText } from "./campaign-view.ts";
import { details } from "./details.ts";
import type { Gateway } from "./gateway.ts";
import { listCommand } from "./listing.ts";
import { oneOf } from "./option-values.ts";
import { campaignId, firmwareNames } from "./reference.ts";

const CAMPAIGN = "its id, or its name";

/** `latticeway campaign …` */
export function campaignCommand(): Command {
  const campaign = new Command("campaign")
    .description("Bring releases to vehicles, wave by wave")
    .addCommand(campaignList())
    .addCommand(showCommand())
    .addCommand(createCommand())
    .addCommand(editCommand())
    .addCommand(dryRunCommand());
  for (const action of actionCommands()) campaign.addCommand(action);
  return campaign
    .addCommand(progressCommand())
    .addCommand(vehiclesCommand())
    .addCommand(cloneCommand())
    .addCommand(deleteCommand());
}

function campaignList(): Command {
  const command = new Command("list")
    .description("Campaigns, newest first")
    .option("--name <name>", "called so, in capitals or not")
    .addOption(oneOf("--state <state>", "in this state", campaignStates))
    .option("--release <id>", "that bring this firmware");
  return listCommand(command, {
    path: () => "/campaigns",
    item: CampaignSummary,
    columns: {
      NAME: (it) => it.name,
      STATE: (it) => it.state,
      "%": (it) => it.percentage,
      WAVES: (it) => `${it.waves_opened.length}/${it.waves.length}`,
      "MADE BY": (it) => it.created_by,
      "APPROVED BY": (it) => it.approved_by,
      STARTED: (it) => it.started_at,
      ID: (it) => it.campaign_id,
    },
    spare: ["ID"],
    none: "There is no such campaign. Make one: latticeway campaign create",
    examples: ["latticeway campaign list --state running"],
  });
}

function showCommand(): Command {
  const command = new Command("show")
    .description("All about a campaign")
    .argument("<campaign>", CAMPAIGN);
  return answering<{ json?: true }>(command, {
    examples: ["latticeway campaign show 'Brakes 2.0.0'"],
    async run(gateway, { json }, name = "") {
      const campaign = await read(gateway, name);
      if (json) return answered(campaign, details);
      const releases = await firmwareNames(gateway, campaign.releases);
      return { json: campaign, text: details({ ...campaign, releases }) };
    },
  });
}

async function read(gateway: Gateway, name: string): Promise<Campaign> {
  return gateway.get(path`/campaigns/${await campaignId(gateway, name)}`, Campaign);
}

function createCommand(): Command {
  return answering<ContentOptions>(withContent(new Command("create").description("Make a draft")), {
    examples: [
      "latticeway campaign create --name 'Brakes 2.0.0' --releases brake-controller@2.0.0 \\\n      --filter 'region == \"EU\"' --waves 5,20,75 --stagger 1440 --stop-rate 0.02",
      "latticeway campaign create --file brakes.yaml",
    ],
    run: async (gateway, options) =>
      answered(
        await gateway.send("POST", "/campaigns", await contentOf(gateway, options), Campaign),
        stateText,
      ),
  });
}

function editCommand(): Command {
  const command = new Command("edit")
    .description("Change a draft")
    .argument("<campaign>", CAMPAIGN);
  return answering<ContentOptions>(withContent(command), {
    examples: ["latticeway campaign edit 'Brakes 2.0.0' --percentage 50 --end 2026-06-01"],
    async run(gateway, options, name = "") {
      const { campaign_id, revision } = await read(gateway, name);
      const patch = await patchOf(gateway, options, revision);
      return answered(
        await gateway.send("PATCH", path`/campaigns/${campaign_id}`, patch, Campaign),
        stateText,
      );
    },
  });
}

function dryRunCommand(): Command {
  const command = new Command("dry-run")
    .description("What a campaign would do to the fleet as it is; it changes nothing")
    .argument("[campaign]", `${CAMPAIGN}; without it, what the options say`);
  return answering<ContentOptions>(withContent(command), {
    examples: [
      "latticeway campaign dry-run 'Brakes 2.0.0'",
      "latticeway campaign dry-run --releases brake-controller@2.0.0 --filter all",
    ],
    async run(gateway, options, name?: string) {
      const at =
        name === undefined
          ? "/campaigns/dry-run"
          : path`/campaigns/${await campaignId(gateway, name)}/dry-run`;
      const body =
        name === undefined ? await contentOf(gateway, { name: "dry run", ...options }) : undefined;
      return answered(await gateway.send("POST", at, body, DryRun), dryRunText);
    },
  });
}

function vehiclesCommand(): Command {
  const command = new Command("vehicles")
    .description("Vehicles that take part, from their first package on")
    .argument("<campaign>", CAMPAIGN)
    .addOption(oneOf("--status <status>", "of this status", campaignVehicleStatuses));
  return listCommand(command, {
    path: async (gateway, name = "") =>
      path`/campaigns/${await campaignId(gateway, name)}/vehicles`,
    item: CampaignVehicle,
    columns: {
      VIN: (it) => it.vin,
      WAVE: (it) => it.wave + 1,
      STATUS: (it) => it.status,
      TRIES: (it) => it.attempts,
      JOINED: (it) => it.joined_at,
      ENDED: (it) => it.finished_at,
      WHY: (it) => it.reason && `${it.reason.detail} (${it.reason.code})`,
    },
    spare: ["TRIES", "JOINED"],
    none: "No vehicle has had a package of it.",
    examples: ["latticeway campaign vehicles 'Brakes 2.0.0' --status failed"],
  });
}

function cloneCommand(): Command {
  const command = new Command("clone")
    .description("Make a draft that says the same, without its times")
    .argument("<campaign>", CAMPAIGN);
  return answering(command, {
    examples: ["latticeway campaign clone 'Brakes 2.0.0'"],
    async run(gateway, _options, name = "") {
      const to = path`/campaigns/${await campaignId(gateway, name)}/clone`;
      return answered(await gateway.send("POST", to, undefined, Campaign), stateText);
    },
  });
}

function deleteCommand(): Command {
  const command = new Command("delete")
    .description("Delete a draft")
    .argument("<campaign>", CAMPAIGN)
    .option("--yes", "do not ask");
  return answering<{ yes?: true }>(command, {
    examples: ["latticeway campaign delete 'Brakes 2.0.0' --yes"],
    async run(gateway, options, name = "") {
      const id = await campaignId(gateway, name);
      await demandYes(`The draft ${name} will be gone.`, options);
      await gateway.delete(path`/campaigns/${id}`);
      return done(`${name} is deleted.`);
    },
  });
}
