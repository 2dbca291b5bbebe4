import { Command } from "commander";
import { Compile } from "typebox/compile";
import { Event } from "#protocol/api/event.ts";
import { withExamples } from "./answering.ts";
import { withGateway } from "./gateway.ts";
import { GatewayError } from "./gateway-error.ts";
import { queryOf, readPages } from "./listing.ts";
import { integer } from "./option-values.ts";
import { printable } from "./printable.ts";
import { reporting } from "./reporting.ts";
import { serverSentData } from "./server-sent.ts";
import { eventCells } from "./event-view.ts";
import { table } from "./table.ts";

interface Options {
  kind?: string;
  vin?: string;
  subject?: string;
  since?: string;
  limit: number;
  follow?: true;
  json?: true;
}

/** `latticeway events` */
export function eventsCommand(): Command {
  return withExamples(
    new Command("events")
      .description("What has happened, newest first; or as it happens")
      .option("--kind <kind>", "campaign.stopped, update.finished, …")
      .option("--vin <id>", "about this vehicle")
      .option("--subject <id>", "about this update, campaign, firmware, …")
      .option("--since <id>", "in their order, from behind this event on")
      .option("--limit <n>", "how many at the most", integer(1, 100_000), 50)
      .option("--follow", "go on with what happens, until Ctrl+C")
      .option("--json", "print JSON; with --follow, an event a line"),
    ["latticeway events --kind campaign.stopped", "latticeway events --follow --json"],
  ).action((options: Options, command: Command) =>
    reporting(command, () => (options.follow ? follow(options) : list(options))),
  );
}

async function list({ json, limit, follow: _, since, ...query }: Options): Promise<string> {
  const forward = since === undefined ? {} : { by: "since" as const, cursor: since };
  const all = { path: "/events", query, most: limit, ...forward };
  const page = await withGateway((gateway) => readPages(gateway, Event, all));
  if (json) return JSON.stringify(page, null, 2);
  if (page.items.length === 0) return "Nothing has happened.";
  const heading = ["AT", "KIND", "VIN", "ABOUT", "DETAIL", "ID"];
  return table(heading, page.items.map(eventCells), { spare: ["ID"] });
}

/** Some of its time a gateway is not there, and some of its time a network. */
const AGAIN_MS = 1000;
const event = Compile(Event);

async function follow({ json, limit: _, follow: __, since, ...query }: Options): Promise<string> {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  let last = since;
  await withGateway(async (gateway) => {
    while (!stop.signal.aborted) {
      try {
        const path = `/events/stream${queryOf({ ...query, since: last })}`;
        const lines = await gateway.stream(path, { signal: stop.signal });
        for await (const data of serverSentData(lines)) {
          const value: unknown = JSON.parse(data);
          if (!event.Check(value)) continue;
          last = value.id;
          console.log(printable(json ? JSON.stringify(value) : lineOf(value)));
        }
      } catch (error) {
        if (stop.signal.aborted) break;
        // The first try tells whether it can be had at all.
        if (last === undefined || !isGone(error)) throw error;
      }
      if (!stop.signal.aborted) await pause(stop.signal);
    }
  });
  return "";
}

function lineOf(value: Event): string {
  return eventCells(value)
    .filter((cell) => cell !== "")
    .join("  ");
}

function isGone(error: unknown): boolean {
  return error instanceof GatewayError && error.code === "GATEWAY_UNREACHABLE";
}

function pause(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, AGAIN_MS);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    resolve();
  });
  return promise;
}
