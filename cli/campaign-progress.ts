import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { CampaignProgress } from "#protocol/api/campaign-progress.ts";
import { answered, answering, path } from "./answering.ts";
import { progressText } from "./campaign-view.ts";
import type { Gateway } from "./gateway.ts";
import { integer } from "./option-values.ts";
import { printableLines } from "./printable.ts";
import { campaignId } from "./reference.ts";

interface Options {
  watch?: true;
  every: number;
  json?: true;
}

/** `latticeway campaign progress` */
export function progressCommand(): Command {
  const command = new Command("progress")
    .description("How far a campaign has come")
    .argument("<campaign>", "its id, or its name")
    .option("--watch", "show it anew until the campaign is over")
    .option("--every <seconds>", "how often", integer(1, 3600), 5);
  return answering<Options>(command, {
    examples: ["latticeway campaign progress 'Brakes 2.0.0' --watch"],
    async run(gateway, options, campaign = "") {
      const at = path`/campaigns/${await campaignId(gateway, campaign)}/progress`;
      return answered(await last(gateway, at, options), progressText);
    },
  });
}

async function last(gateway: Gateway, at: string, { watch, every, json }: Options) {
  for (;;) {
    const progress = await gateway.get(at, CampaignProgress);
    const isOver = progress.state === "finished" || progress.state === "stopped";
    if (watch !== true || isOver) return progress;
    if (json !== true) show(progressText(progress));
    await delay(every * 1000);
  }
}

/** In place of the one before, on a terminal. */
function show(text: string): void {
  if (process.stdout.isTTY) process.stdout.write("\u001B[H\u001B[J");
  console.log(`${printableLines(text)}\n`);
}
