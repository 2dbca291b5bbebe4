import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { Compile } from "typebox/compile";
import { parse } from "yaml";
import { CampaignContent, type CampaignPatch } from "#protocol/api/campaign.ts";
import type { Gateway } from "./gateway.ts";
import { given } from "./given.ts";
import { moment } from "./moment.ts";
import { flag, integer, names, oneOf, percentage, rate } from "./option-values.ts";
import { firmwareId } from "./reference.ts";
import { UsageError } from "./usage-error.ts";
import { shares, staggered, wavesOf, type WaveGate } from "./waves.ts";

export interface ContentOptions {
  file?: string;
  name?: string;
  description?: string;
  releases?: string[];
  filter?: string;
  vehicles?: string[];
  percentage?: number;
  waves?: number[];
  stagger?: number;
  gateFinished?: number;
  gateFailureRate?: number;
  gateSoak?: number;
  critical?: boolean;
  start?: string;
  end?: string;
  dynamic?: boolean;
  stopRate?: number;
  stopSample?: number;
  stopConfidence?: number;
  deadline?: number;
  soak?: number;
  newDtcs?: "count" | "ignore";
  minProfile?: number;
}

const MOST_MINUTES = 525_600;
const minutes = integer(0, MOST_MINUTES);

/** Which vehicles, how many of them, and in which waves. */
export function withTarget(command: Command): Command {
  return command
    .option(
      "--filter <text>",
      "which vehicles, in the language of docs/filters.md; all for every one",
    )
    .option("--vehicles <vins>", "only these: VMG-001,VMG-002", names)
    .option("--percentage <n>", "of these vehicles", percentage)
    .option("--waves <percentages>", "one wave after the other, 100 together: 5,20,75", shares)
    .option("--stagger <minutes>", "between two waves; without --waves there are ten", minutes);
}

/** All that a campaign can say. */
export function withContent(command: Command): Command {
  return withTarget(
    command
      .option(
        "--file <file>",
        "all of it as JSON or YAML, as in docs/campaigns.md; options go first",
      )
      .option("--name <text>", "what it is called")
      .option("--description <text>", "what it is for")
      .option("--releases <list>", "what it brings: ids, or brake-controller@2.0.0,…", names),
  )
    .option(
      "--gate-finished <n>",
      "a wave opens when so many of the one before are through …",
      integer(1, 1e8),
    )
    .option("--gate-failure-rate <rate>", "… of which no larger part failed …", rate)
    .option("--gate-soak <minutes>", "… for so long", minutes)
    .option("--critical <true|false>", "goes before others", flag)
    .option("--start <time>", "when it starts by itself", moment)
    .option("--end <time>", "when it ends", moment)
    .option("--dynamic <true|false>", "whether vehicles that come to match later join", flag)
    .option("--stop-rate <rate>", "stop when more than this part fails, 0.02 for 2 percent", rate)
    .option("--stop-sample <n>", "conclude nothing from fewer vehicles", integer(1, 1e6))
    .option("--stop-confidence <rate>", "how certain that has to be", rate)
    .option(
      "--deadline <minutes>",
      "from the start of an installation to its proof",
      integer(1, 10_080),
    )
    .option("--soak <minutes>", "how long a vehicle must stay well before it counts", minutes)
    .addOption(
      oneOf("--new-dtcs <how>", "whether trouble codes that are new are a failure", [
        "count",
        "ignore",
      ]),
    )
    .option("--min-profile <n>", "the weakest TLS profile of a vehicle", integer(0, 12));
}

/** What a draft says. @throws UsageError, GatewayError */
export async function contentOf(
  gateway: Gateway,
  options: ContentOptions,
): Promise<CampaignContent> {
  const content = { ...(await contentOfFile(options.file)), ...(await changeOf(gateway, options)) };
  if (content.name === undefined) throw new UsageError("Say what it is called: --name");
  return { releases: [], ...content } as CampaignContent;
}

/** What is to be replaced. @throws UsageError where nothing is */
export async function patchOf(
  gateway: Gateway,
  options: ContentOptions,
  revision: number,
): Promise<CampaignPatch> {
  const change = { ...(await contentOfFile(options.file)), ...(await changeOf(gateway, options)) };
  if (Object.keys(change).length === 0) {
    throw new UsageError("Say what is to change: latticeway campaign edit --help");
  }
  return { revision, ...change };
}

async function changeOf(
  gateway: Gateway,
  options: ContentOptions,
): Promise<Partial<CampaignContent>> {
  const { releases, stopRate, stopSample, stopConfidence } = options;
  const ids = releases && (await Promise.all(releases.map((each) => firmwareId(gateway, each))));
  if (stopRate === undefined && (stopSample ?? stopConfidence) !== undefined) {
    throw new UsageError("--stop-sample and --stop-confidence need --stop-rate.");
  }
  const change: Record<keyof CampaignContent, unknown> = {
    ...targetOf(options),
    name: options.name,
    description: options.description,
    releases: ids,
    critical: options.critical,
    starts_at: options.start,
    ends_at: options.end,
    dynamic: options.dynamic,
    stop_rule:
      stopRate === undefined
        ? undefined
        : {
            max_failure_rate: stopRate,
            confidence: stopConfidence ?? 0.95,
            min_sample: stopSample ?? 5,
          },
    deadline_min: options.deadline,
    soak_min: options.soak,
    new_dtcs: options.newDtcs,
    min_profile: options.minProfile,
  };
  return given(change);
}

/** What {@link withTarget} has told. */
export function targetOf(options: ContentOptions) {
  return {
    filter: options.filter,
    vins: options.vehicles,
    percentage: options.percentage,
    waves: wavesOfOptions(options),
  };
}

function wavesOfOptions(options: ContentOptions) {
  const { stagger, gateFinished, gateFailureRate, gateSoak } = options;
  const byOutcome = gateFinished ?? gateFailureRate ?? gateSoak;
  if (stagger !== undefined && byOutcome !== undefined) {
    throw new UsageError("Waves open by --stagger, or by --gate-…, not by both.");
  }
  if (options.waves === undefined && (stagger ?? byOutcome) === undefined) return undefined;
  const list = options.waves ?? staggered;
  if (list.length > 1 && (stagger ?? byOutcome) === undefined) {
    throw new UsageError("Say when the next wave opens: --stagger, or --gate-finished.");
  }
  const gate: WaveGate =
    byOutcome === undefined
      ? { after_min: stagger ?? 0 }
      : {
          min_finished: gateFinished ?? 1,
          max_failure_rate: gateFailureRate ?? 0,
          soak_min: gateSoak ?? 0,
        };
  return wavesOf(list, gate);
}

const content = Compile(CampaignContent);

async function contentOfFile(file: string | undefined): Promise<Partial<CampaignContent>> {
  if (file === undefined) return {};
  const value = parseFile(file, await readFile(file, "utf8"));
  // What is not there yet may come by options.
  const whole = {
    name: "-",
    releases: [],
    percentage: 100,
    waves: [{ share: 100 }],
    critical: false,
    dynamic: true,
    deadline_min: 30,
    soak_min: 0,
    new_dtcs: "ignore",
    ...value,
  };
  const [problem] = content.Errors(whole);
  if (problem) throw new UsageError(`${file}: ${problem.instancePath} ${problem.message}`);
  return value;
}

function parseFile(file: string, text: string): Partial<CampaignContent> {
  try {
    const value: unknown = parse(text, { maxAliasCount: 100 });
    if (typeof value === "object" && value !== null) return value;
  } catch (error) {
    throw new UsageError(`${file}: ${(error as Error).message}`);
  }
  throw new UsageError(`${file} says nothing.`);
}
