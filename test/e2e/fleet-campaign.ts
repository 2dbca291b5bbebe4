import "#config/node-version.js";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startGatewayProcess, type GatewayProcess } from "#demo/gateway-process.ts";
import { makeImage } from "#demo/image.ts";
import { connectOperator, type Operator } from "#demo/operator.ts";
import type { Campaign } from "#protocol/api/campaign.ts";
import type { CampaignProgress } from "#protocol/api/campaign-progress.ts";
import type { DryRun } from "#protocol/api/dry-run.ts";
import type { CommandState } from "#protocol/api/command.ts";
import type { Update } from "#protocol/api/update.ts";

/**
 * A campaign with a bad release in it over many simulated vehicles, and one with a good release after
 * it: `node test/e2e/fleet-campaign.ts --count 200`. Ends with 1 when anything is not as it should be.
 */
const { values } = parseArgs({
  options: {
    count: { type: "string", default: "200" },
    minutes: { type: "string", default: "20" },
    api: { type: "boolean", default: false },
  },
});
const count = Number(values.count);
const deadline = performance.now() + Number(values.minutes) * 60_000;
const vins = Array.from({ length: count }, (_, i) => `CAR-${String(i + 1).padStart(4, "0")}`);
const BAD = { ecu_type: "battery-controller", version: "2.0.0" };
/** Nothing is concluded from fewer vehicles. */
const SAMPLE = 3;
const GOOD = { ecu_type: "brake-controller", version: "1.2.3" };

const folder = await mkdtemp(join(tmpdir(), "latticeway-fleet-"));
Object.assign(process.env, { LATTICEWAY_MAINTENANCE_INTERVAL_S: "1" });
const certsDir = join(folder, "certs");
const gateway = await startGatewayProcess({ folder, certsDir, ports: { https: 0, mqtt: 0 } });
const token = readFileSync(join(folder, "gateway", "operator.token"), "utf8").trim();
const admin = await connectOperator(gateway.https_url, token, certsDir);
const cars = drive(gateway);
try {
  await rehearse();
  say("Everything held.");
} catch (error) {
  process.exitCode = 1;
  console.error(error);
  console.error(`The logs are in ${folder}`);
} finally {
  await cars.stop();
  await admin.close();
  await gateway.stop();
  if (process.exitCode !== 1) await rm(folder, { recursive: true, force: true });
}

async function rehearse(): Promise<void> {
  const manager = await operatorOf("Mara", "campaign_manager");
  const approver = await operatorOf("Ada", "approver");
  const bad = await upload(BAD, "self-test: fails");
  const good = await upload(GOOD, "");
  await until(`${count} vehicles with their VCI`, async () => {
    const { matched: known } = await admin.post<{ matched: number }>("/vehicles/preview", {
      filter: `ecu("${BAD.ecu_type}").version < ${BAD.version}`,
    });
    return known === count;
  });
  say(`${count} vehicles are there`);

  const failed = await badCampaign({ manager, approver, releases: [bad] });
  await goodCampaign({ manager, approver, releases: [good], failed });
}

interface Ask {
  manager: Operator;
  approver: Operator;
  releases: string[];
}

/** @returns the vehicles that it failed in */
async function badCampaign({ manager, approver, releases }: Ask): Promise<string[]> {
  const campaign = await start(manager, approver, {
    name: "Battery controller 2.0.0",
    releases,
    filter: `ecu("${BAD.ecu_type}").version < ${BAD.version}`,
    waves: [
      { share: count < 40 ? 50 : 20 },
      {
        share: count < 40 ? 50 : 80,
        gate: { min_finished: SAMPLE, max_failure_rate: 0.5, soak_min: 0 },
      },
    ],
    stop_rule: { max_failure_rate: 0.1, min_sample: SAMPLE },
  });
  await until("the stop rule stops it", async () => (await stateOf(campaign)) === "stopped");
  await until("who has begun has ended", async () => {
    const { updating } = (await progressOf(campaign)).total;
    return updating === 0;
  });
  const { total } = await progressOf(campaign);
  const { state_reason } = await admin.get<Campaign>(`/campaigns/${campaign}`);
  say(`stopped: ${JSON.stringify(state_reason)}`);
  say(
    `of ${count}: ${total.started} started, ${total.rolled_back} rolled back, ${total.failed} failed`,
  );
  assert.equal(state_reason?.code, "CAMPAIGN_STOP_RULE");
  assert.ok(total.started < count, "the stop rule has come too late for everybody");
  assert.equal(total.succeeded, 0);

  // What the gateway counts is what the vehicles say of themselves.
  const took = await takenPart(campaign);
  assert.equal(took.size, total.started);
  for (const [vin, { versions, last_update }] of await askAll([...took.keys()])) {
    // Between download and installation the stop itself keeps a vehicle from going on.
    const isHeld = took.get(vin) === "waiting";
    assert.equal(last_update?.status, isHeld ? "failed" : "rolled_back", vin);
    if (isHeld) assert.equal(last_update.error?.code, "CAMPAIGN_NOT_RUNNING", vin);
    assert.ok(!Object.values(versions).includes(BAD.version), `${vin} runs the bad release`);
  }
  await agree(campaign);
  return [...took.keys()];
}

async function goodCampaign({ manager, approver, releases, failed }: Ask & { failed: string[] }) {
  const campaign = await start(manager, approver, {
    name: "Brake controller 1.2.3",
    releases,
    filter: "all",
    waves: [{ share: 30 }, { share: 70, gate: { after_min: 0 } }],
    stop_rule: { max_failure_rate: 0.1, min_sample: SAMPLE },
  });
  await until(`${count} vehicles succeeded`, async () => {
    const { total } = await progressOf(campaign);
    assert.equal(total.failed + total.rolled_back, 0, "a good release has failed");
    return total.succeeded === count;
  });
  say(
    `${count} vehicles run ${GOOD.ecu_type} ${GOOD.version}, also the ${failed.length} from before`,
  );
  for (const [vin, { versions }] of await askAll(vins)) {
    assert.ok(Object.values(versions).includes(GOOD.version), `${vin} does not run it`);
  }
  await agree(campaign);
}

async function start(manager: Operator, approver: Operator, content: object): Promise<string> {
  const campaign_id = await draft(manager, content);
  const path = `/campaigns/${campaign_id}`;
  const { revision } = await manager.post<Campaign>(`${path}/submit`, {});
  await approver.post(`${path}/approve`, { revision });
  if ((await stateOf(campaign_id)) !== "running") await manager.post(`${path}/start`, {});
  say(`campaign ${campaign_id} runs`);
  return campaign_id;
}

/** A draft whose first wave has enough vehicles to conclude from, and leaves some for the others. */
async function draft(manager: Operator, content: object): Promise<string> {
  for (;;) {
    const { campaign_id } = await manager.post<Campaign>("/campaigns", content);
    const path = `/campaigns/${campaign_id}`;
    const { members, waves, planned } = await manager.post<DryRun>(`${path}/dry-run`, {});
    assert.equal(members, planned.vehicles);
    const first = waves[0]?.members ?? 0;
    if (first >= SAMPLE && first < members) {
      say(`dry run: ${members} vehicles, ${first} of them in the first wave`);
      return campaign_id;
    }
    await manager.delete(path);
  }
}

/** Counters, the list of vehicles, the updates and the operator's command line say the same. */
async function agree(campaign: string): Promise<void> {
  const { total } = await progressOf(campaign);
  const listed = await all<{ status: string }>(`/campaigns/${campaign}/vehicles`);
  const count = (status: string) => listed.filter((each) => each.status === status).length;
  assert.equal(count("succeeded"), total.succeeded);
  assert.equal(count("rolled_back"), total.rolled_back);
  assert.equal(count("failed"), total.failed);
  if (values.api) return;
  const byCommand = await commandLine<CampaignProgress>("campaign", "progress", campaign, "--json");
  assert.deepEqual(byCommand.total, total);
  say("API, command line and vehicles agree");
}

interface Status {
  versions: Record<string, string>;
  last_update?: { update_id: string; status: Update["status"]; error?: { code: string } };
}

/** What vehicles answer to `ota_status`. */
async function askAll(asked: readonly string[]): Promise<Map<string, Status>> {
  const sent = await Promise.all(
    asked.map(async (vin) => {
      const path = `/vehicles/${vin}/commands`;
      return [vin, await admin.post<CommandState>(path, { command: "ota_status" })] as const;
    }),
  );
  const answers = new Map<string, Status>();
  await until("every vehicle has answered", async () => {
    for (const [vin, { command_id }] of sent) {
      if (answers.has(vin)) continue;
      const { status, result } = await admin.get<CommandState>(`/commands/${command_id}`);
      if (status === "completed") answers.set(vin, result as Status);
    }
    return answers.size === asked.length;
  });
  return answers;
}

/** @returns how each vehicle of the campaign stands in it, by VIN */
async function takenPart(campaign: string): Promise<Map<string, string>> {
  const listed = await all<{ vin: string; status: string }>(`/campaigns/${campaign}/vehicles`);
  return new Map(listed.map(({ vin, status }) => [vin, status]));
}

async function all<Item>(path: string): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  do {
    const query = cursor === null ? "limit=100" : `limit=100&cursor=${cursor}`;
    const page: { items: Item[]; next_cursor: string | null } = await admin.get(`${path}?${query}`);
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return items;
}

function progressOf(campaign: string): Promise<CampaignProgress> {
  return admin.get(`/campaigns/${campaign}/progress`);
}

async function stateOf(campaign: string): Promise<Campaign["state"]> {
  return (await admin.get<Campaign>(`/campaigns/${campaign}`)).state;
}

async function operatorOf(name: string, role: string): Promise<Operator> {
  const made = await admin.post<{ token: string }>("/operators/tokens", { name, role });
  return connectOperator(gateway.https_url, made.token, certsDir);
}

async function upload(release: { ecu_type: string; version: string }, says: string) {
  const file = await makeImage(folder, `${release.ecu_type}-${release.version}`);
  const image = readFileSync(file);
  image.write(`\n${says}\n`, 128);
  await writeFile(file, image);
  const fields = { hardware_versions: "HW-1.0", channel: "stable", availability: "campaign" };
  const { firmware_id } = await admin.upload<{ firmware_id: string }>(file, {
    ...release,
    ...fields,
  });
  return firmware_id;
}

/** `npm run sim -- --count …` */
function drive({ https_url, mqtt_url }: GatewayProcess) {
  const log = createWriteStream(join(folder, "vehicles.log"));
  const places = ["--certs", certsDir, "--state", join(folder, "vehicles")];
  const urls = ["--gateway", https_url, "--mqtt", mqtt_url];
  const child = spawn(
    process.execPath,
    ["vmg-sim/main.ts", "--count", String(count), "--vin", "CAR", ...urls, ...places],
    {
      cwd: join(import.meta.dirname, "../.."),
      env: {
        ...process.env,
        VMG_INTERVALS_CHECK_S: String(Math.max(5, count / 4)),
        VMG_INTERVALS_TELEMETRY_S: "60",
        VMG_DOIP_EDGE_PORT: "0",
        VMG_DOIP_EDGE_TLS_PORT: "0",
        VMG_HEALTH_CHECK_INTERVAL_MS: "100",
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  return {
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

async function commandLine<Answer>(...args: string[]): Promise<Answer> {
  const child = spawn(process.execPath, ["cli/latticeway.js", ...args], {
    cwd: join(import.meta.dirname, "../.."),
    env: {
      ...process.env,
      LATTICEWAY_URL: gateway.https_url,
      LATTICEWAY_TOKEN: token,
      LATTICEWAY_CA: join(certsDir, "server-ca", "ecdsa-p256", "root.pem"),
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  assert.equal(code, 0, `latticeway ${args.join(" ")} ended with ${code}`);
  return JSON.parse(text) as Answer;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await pause(500);
  }
}

function say(text: string): void {
  console.log(`${(performance.now() / 1000).toFixed(1).padStart(6)} s  ${text}`);
}
