import { Command } from "commander";
import { Campaign } from "#protocol/api/campaign.ts";
import { answered, answering, path } from "./answering.ts";
import { demandYes } from "./ask.ts";
import { given } from "./given.ts";
import { stateText } from "./campaign-view.ts";
import { moment } from "./moment.ts";
import { integer } from "./option-values.ts";
import { campaignId } from "./reference.ts";

const CAMPAIGN = "its id, or its name";

/** What is done with a campaign, by the last part of the path. */
const actions = {
  submit: "Ask for approval",
  withdraw: "Take it back to be a draft, before it has started",
  start: "Start an approved campaign now",
  pause: "Give no vehicle anything further; what is being written goes on",
  resume: "Go on with a paused campaign",
  finish: "Let no further vehicle join",
  stop: "End it for all vehicles that write no flash yet, for good",
  retry: "Give the vehicles that failed another try",
} as const;

/** Asked for before they are done. */
const dangers: Partial<Record<keyof typeof actions, string>> = {
  stop: "A campaign that is stopped never goes on.",
};

interface Options {
  comment?: string;
  revision?: number;
  yes?: true;
}

export function actionCommands(): Command[] {
  const plain = Object.entries(actions).map(([name, description]) =>
    actionCommand(name as keyof typeof actions, description),
  );
  return [...plain, ...decisions(), scheduleCommand(), rollbackCommand()];
}

function actionCommand(name: keyof typeof actions, description: string): Command {
  const danger = dangers[name];
  const command = withComment(new Command(name).description(description));
  if (danger !== undefined) command.option("--yes", "do not ask");
  return answering<Options>(command, {
    examples: [`latticeway campaign ${name} 'Brakes 2.0.0'${danger === undefined ? "" : " --yes"}`],
    async run(gateway, options, campaign = "") {
      const id = await campaignId(gateway, campaign);
      if (danger !== undefined) await demandYes(danger, options);
      const body = given({ comment: options.comment });
      return answered(
        await gateway.send("POST", path`/campaigns/${id}/${name}`, body, Campaign),
        stateText,
      );
    },
  });
}

/** Approval is of what was read. */
function decisions(): Command[] {
  return (["approve", "reject"] as const).map((name) => {
    const what =
      name === "approve" ? "Let somebody else's campaign start" : "Take it back to be a draft";
    const command = withComment(new Command(name).description(what)).option(
      "--revision <n>",
      "as you have read it (default: as it is now)",
      integer(1, Number.MAX_SAFE_INTEGER),
    );
    return answering<Options>(command, {
      examples: [
        `latticeway campaign ${name} 'Brakes 2.0.0' --comment 'Tried on the test track'`,
        `latticeway campaign ${name} 0198c7a0-… --revision 4`,
      ],
      async run(gateway, { comment, revision }, campaign = "") {
        const at = path`/campaigns/${await campaignId(gateway, campaign)}`;
        const read = revision ?? (await gateway.get(at, Campaign)).revision;
        const body = { revision: read, ...given({ comment }) };
        return answered(await gateway.send("POST", `${at}/${name}`, body, Campaign), stateText);
      },
    });
  });
}

function withComment(command: Command): Command {
  return command
    .argument("<campaign>", CAMPAIGN)
    .option("--comment <text>", "kept with it and in the audit log");
}

function scheduleCommand(): Command {
  const command = withComment(
    new Command("schedule").description("Say when an approved campaign starts by itself, and ends"),
  )
    .option("--start <time>", "when; without it, by hand", moment)
    .option("--end <time>", "when it ends", moment);
  return answering<Options & { start?: string; end?: string }>(command, {
    examples: ["latticeway campaign schedule 'Brakes 2.0.0' --start '2026-05-04 20:00'"],
    async run(gateway, { comment, start, end }, campaign = "") {
      const to = path`/campaigns/${await campaignId(gateway, campaign)}/schedule`;
      const body = { starts_at: start ?? null, ...given({ comment, ends_at: end }) };
      return answered(await gateway.send("POST", to, body, Campaign), stateText);
    },
  });
}

function rollbackCommand(): Command {
  const command = withComment(
    new Command("rollback").description(
      "Have the vehicles that succeeded go back to what they ran before",
    ),
  )
    .option("--per-min <n>", "so many vehicles a minute", integer(1, 10_000), 60)
    .option("--yes", "do not ask");
  return answering<Options & { perMin: number }>(command, {
    examples: ["latticeway campaign rollback 'Brakes 2.0.0' --per-min 10 --yes"],
    async run(gateway, { comment, perMin, ...options }, campaign = "") {
      const id = await campaignId(gateway, campaign);
      await demandYes("Every vehicle that this campaign has updated is told to go back.", options);
      const body = { per_min: perMin, ...given({ comment }) };
      return answered(
        await gateway.send("POST", path`/campaigns/${id}/rollback`, body, Campaign),
        ({ name, campaign_id }) =>
          `The vehicles that ${name} has updated are told to go back, ${perMin} a minute.\nHow far it is: latticeway campaign progress ${campaign_id} --watch`,
      );
    },
  });
}
