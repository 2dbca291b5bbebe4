import { Command, InvalidArgumentError } from "commander";
import {
  EffectivePolicy,
  GroupPolicy,
  policyModes,
  weekdays,
  type MaintenanceWindow,
  type PolicyChange,
} from "#protocol/api/policy.ts";
import { answered, answering, done, path } from "./answering.ts";
import { demandYes } from "./ask.ts";
import { given } from "./given.ts";
import { details } from "./details.ts";
import type { Gateway } from "./gateway.ts";
import { listCommand, readPages } from "./listing.ts";
import { flag, integer, oneOf } from "./option-values.ts";
import { UsageError } from "./usage-error.ts";

interface SettingOptions {
  mode?: PolicyChange["mode"];
  checkInterval?: number;
  window?: MaintenanceWindow[];
  consent?: "required" | "not_required";
  minBattery?: number;
  minStorage?: number;
  parked?: boolean;
}

function withSettings(command: Command): Command {
  return command
    .addOption(oneOf("--mode <mode>", "whenever, by command only, or in a window", policyModes))
    .option(
      "--check-interval <seconds>",
      "how often the vehicle looks for updates",
      integer(60, 31_536_000),
    )
    .option("--window <when>", "mon,tue 22:00-04:30 by the vehicle's clock; repeatable", window)
    .addOption(
      oneOf("--consent <who>", "whether the driver has to agree", ["required", "not_required"]),
    )
    .option("--min-battery <percent>", "state of charge", integer(0, 100))
    .option("--min-storage <bytes>", "free for the package", integer(0, Number.MAX_SAFE_INTEGER))
    .option("--parked <true|false>", "whether it has to be parked for the installation", flag);
}

/** @throws UsageError where nothing is said */
function settingsOf(options: SettingOptions): PolicyChange {
  const settings: PolicyChange = given({
    mode: options.mode,
    check_interval_s: options.checkInterval,
    windows: options.window,
    consent: options.consent,
    min_battery_soc: options.minBattery,
    min_free_storage: options.minStorage === undefined ? undefined : { bytes: options.minStorage },
    parked: options.parked,
  });
  if (Object.keys(settings).length > 0) return settings;
  throw new UsageError("Say what holds: --mode, --window, …");
}

/** `mon,tue 22:00-04:30`; given again, one more. @throws InvalidArgumentError */
export function window(text: string, before: MaintenanceWindow[] = []): MaintenanceWindow[] {
  const [, list = "", from, to] = /^([a-z,]+) (\d\d:\d\d)-(\d\d:\d\d)$/.exec(text.trim()) ?? [];
  const days = list === "daily" ? [...weekdays] : (list.split(",") as MaintenanceWindow["days"]);
  const isKnown = days.every((day) => weekdays.includes(day));
  if (from !== undefined && to !== undefined && isKnown) return [...before, { days, from, to }];
  throw new InvalidArgumentError(
    "It is days and times: mon,tue 22:00-04:30, or daily 01:00-05:00.",
  );
}

/** `latticeway policies …` */
export function policiesCommand(): Command {
  return new Command("policies")
    .description("Under which conditions groups of vehicles update")
    .addCommand(policyList())
    .addCommand(showCommand())
    .addCommand(setCommand())
    .addCommand(deleteCommand());
}

function policyList(): Command {
  return listCommand(
    new Command("list").description("Policies of groups; the first that fits a vehicle counts"),
    {
      path: () => "/policies",
      item: GroupPolicy,
      whole: true,
      columns: {
        POSITION: (it) => it.position,
        NAME: (it) => it.name,
        FOR: (it) => it.filter,
        MODE: (it) => it.settings.mode ?? "",
        "CHANGED BY": (it) => it.changed_by,
        CHANGED: (it) => it.changed_at,
        ID: (it) => it.policy_id,
      },
      spare: ["ID"],
      none: "There is none; the gateway's configuration holds for all vehicles.",
      examples: ["latticeway policies list"],
    },
  );
}

/** By its id or its name. @throws UsageError */
async function policyOf(gateway: Gateway, name: string): Promise<GroupPolicy | undefined> {
  const all = { path: "/policies", most: undefined };
  const { items } = await readPages(gateway, GroupPolicy, all);
  return items.find((each) => each.policy_id === name) ?? items.find((each) => each.name === name);
}

async function demandPolicy(gateway: Gateway, name: string): Promise<GroupPolicy> {
  const policy = await policyOf(gateway, name);
  if (policy) return policy;
  throw new UsageError(`There is no policy ${name}: latticeway policies list`);
}

function showCommand(): Command {
  const command = new Command("show")
    .description("All of a policy")
    .argument("<policy>", "its id or name");
  return answering(command, {
    examples: ["latticeway policies show 'EU at night'"],
    run: async (gateway, _options, name = "") =>
      answered(await demandPolicy(gateway, name), details),
  });
}

interface SetOptions extends SettingOptions {
  filter?: string;
  position?: number;
}

function setCommand(): Command {
  const command = new Command("set")
    .description("Make the policy of this name, or replace what it says")
    .argument("<name>", "what it is called")
    .option("--filter <text>", "for which vehicles, in the language of docs/filters.md")
    .option(
      "--position <n>",
      "of those that fit a vehicle, the one with the lowest counts",
      integer(0, 1_000_000),
    );
  return answering<SetOptions>(withSettings(command), {
    examples: [
      "latticeway policies set 'EU at night' --filter 'region == \"EU\"' --position 10 \\\n      --mode scheduled --window 'daily 01:00-05:00' --min-battery 30",
    ],
    async run(gateway, options, name = "") {
      const before = await policyOf(gateway, name);
      const filter = options.filter ?? before?.filter;
      if (filter === undefined) throw new UsageError("Say for which vehicles: --filter");
      const position = options.position ?? before?.position ?? 100;
      const body = { name: before?.name ?? name, filter, position, settings: settingsOf(options) };
      const made =
        before === undefined
          ? await gateway.send("POST", "/policies", body, GroupPolicy)
          : await gateway.send("PUT", path`/policies/${before.policy_id}`, body, GroupPolicy);
      return answered(made, details);
    },
  });
}

function deleteCommand(): Command {
  const command = new Command("delete")
    .description("Delete a policy; its vehicles have the next one that fits")
    .argument("<policy>", "its id or name")
    .option("--yes", "do not ask");
  return answering<{ yes?: true }>(command, {
    examples: ["latticeway policies delete 'EU at night' --yes"],
    async run(gateway, options, name = "") {
      const { policy_id } = await demandPolicy(gateway, name);
      await demandYes(`The vehicles of ${name} get another policy at once.`, options);
      await gateway.delete(path`/policies/${policy_id}`);
      return done(`${name} is deleted.`);
    },
  });
}

interface VehiclePolicyOptions extends SettingOptions {
  reset?: true;
}

/** `latticeway vehicles policy`: shows it, and sets or resets it where that is said. */
export function vehiclePolicyCommand(): Command {
  const command = new Command("policy")
    .description("What holds for a vehicle; with settings, its own policy from now on")
    .argument("<vin>", "VIN or VMG id")
    .option("--reset", "take its own policy away");
  return answering<VehiclePolicyOptions>(withSettings(command), {
    examples: [
      "latticeway vehicles policy VMG-001",
      "latticeway vehicles policy VMG-001 --mode manual",
    ],
    async run(gateway, { reset, ...options }, vin = "") {
      const at = path`/vehicles/${vin}/policy`;
      if (reset) await gateway.delete(at);
      const { json: _, ...settings } = options as SettingOptions & { json?: true };
      const isAsked = reset === true || Object.keys(settings).length === 0;
      return answered(
        isAsked
          ? await gateway.get(at, EffectivePolicy)
          : await gateway.send("PUT", at, settingsOf(settings), EffectivePolicy),
        details,
      );
    },
  });
}
