import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openGateway } from "#cli/gateway.ts";
import { sessionFile, type Session } from "#cli/session-file.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import type { Campaign } from "#protocol/api/campaign.ts";
import { Myself } from "#protocol/api/operator.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { temporaryFolder, testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { run, runProcess } from "./run-latticeway.ts";
import { commandEnvironment } from "./running-tunnel.ts";

const vin = "CLI-CAR-1";
const folder = temporaryFolder();
const password = "correct horse battery";
let gateway: TestGateway;
let ca: string;
let token: Record<string, string>;
/** What the two have in their homes. */
let alice: Record<string, string>;
let bob: Record<string, string>;
let image: string;

const home = () => ({
  XDG_CONFIG_HOME: mkdtempSync(join(folder.path, "home-")),
  LATTICEWAY_URL: "",
  LATTICEWAY_TOKEN: "",
  LATTICEWAY_CA: "",
});

beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 3600 } });
  ca = authorityFiles(gateway.config.certs_dir, "server", "ecdsa-p256", "root").certificate;
  token = commandEnvironment(gateway) as Record<string, string>;
  alice = home();
  bob = home();
  image = join(folder.path, "brake.bin");
  writeFileSync(image, randomBytes(300_000));
});
afterAll(async () => {
  await gateway.close();
  folder.remove();
});

const as = async (who: Record<string, string>, ...args: string[]) => {
  const outcome = await run(who, ...args);
  expect(outcome).toMatchObject({ exitCode: 0, errors: "" });
  return outcome.output;
};
// oxlint-disable-next-line typescript/no-explicit-any -- looks into whatever came
const json = async (who: Record<string, string>, ...args: string[]): Promise<any> =>
  JSON.parse(await as(who, ...args, "--json"));

/** Makes an account and logs it in, setting a password of its own. */
async function person(name: string, role: string, who: Record<string, string>): Promise<void> {
  const made = await json(token, "operators", "create", name, "--role", role);
  const where = ["--url", gateway.url, "--ca", ca, "--name", name, "--password-stdin"];
  const input = `${made.password}\n${password}\n`;
  expect(await runProcess(who, ["login", ...where], input)).toEqual({
    exitCode: 0,
    output: `Logged in to ${gateway.url} as ${name}.`,
    errors: "",
  });
}

describe("an operator's day", () => {
  it("logs in, and keeps the session to itself", async () => {
    await person("alice", "admin", alice);
    await person("bob", "approver", bob);
    const file = sessionFile(alice);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(file, "..")).mode & 0o777).toBe(0o700);
    expect(readFileSync(file, "utf8")).not.toContain(password);
    expect(await as(alice, "whoami")).toContain("role: admin");
    expect(await as(alice, "operators", "sessions", "bob")).toMatch(/\nsession +127/);
    expect(await json(bob, "whoami")).toMatchObject({ name: "bob", role: "approver" });
  });

  it("has the environment go before the login", async () => {
    expect(await json({ ...alice, ...token }, "whoami")).toMatchObject({ name: "first-admin" });
  });

  it("publishes an image as it is, and says what is there already", async () => {
    const args = ["--ecu-type", "brake", "--version", "2.0.0", "--hardware", "HW-1.0,HW-2.0"];
    const rest = ["--availability", "campaign", "--notes", "Ünïcode", "--build-number", "7"];
    const upload = ["firmware", "upload", image, ...args, ...rest];
    const published = await runProcess(alice, upload);
    expect(published).toMatchObject({ exitCode: 0, errors: "" });
    expect(published.output).toMatch(/^Published brake 2\.0\.0 as [0-9a-f-]{36}\.\n300\.0 kB, /);
    const again = await runProcess(alice, upload);
    expect(again.exitCode).toBe(1);
    expect(again.errors).toMatch(
      /^error: .*\(FIRMWARE_EXISTS\)\nA published version never changes/,
    );
    expect(await json(alice, "firmware", "show", "brake@2.0.0")).toMatchObject({
      hardware_versions: ["HW-1.0", "HW-2.0"],
      availability: "campaign",
      release_notes: "Ünïcode",
      build_number: 7,
      size: 300_000,
    });
    const [heading, row, ...more] = (await as(alice, "firmware", "list")).split("\n");
    expect(heading).toMatch(/^ECU TYPE +VERSION +CHANNEL +OFFERED/);
    expect(row).toMatch(/^brake +2\.0\.0 +stable +by campaign +HW-1\.0,HW-2\.0 +300\.0 kB/);
    expect(more).toEqual([]);
  });

  it("attaches an SBOM and gives it back as it was", async () => {
    const file = join(testFolder(), "brake.cdx.json");
    const text = '{ "bomFormat": "CycloneDX", "specVersion": "1.6", "components": [] }\n';
    writeFileSync(file, text);
    await as(alice, "firmware", "sbom", "put", "brake@2.0.0", file);
    const copy = join(testFolder(), "copy.json");
    await as(alice, "firmware", "sbom", "get", "brake@2.0.0", "--out", copy);
    expect(readFileSync(copy, "utf8")).toBe(text);
  });

  it("makes a campaign, tries it, has another let it start, and follows it", async () => {
    const car = await gateway.vehicle(vin);
    const tell = async (path: string, body: object) => car.send("POST", `/api/v1${path}`, { body });
    await tell("/vehicles/register", { vin, region: "EU" });
    await tell(`/vehicles/${vin}/vci`, sampleVci());
    const name = ["--name", "Brakes 2.0.0", "--releases", "brake@2.0.0"];
    const waves = ["--waves", "5,20,75", "--stagger", "0", "--stop-rate", "0.02"];
    const made = await as(
      alice,
      "campaign",
      "create",
      ...name,
      "--filter",
      'region == "EU"',
      ...waves,
    );
    expect(made).toMatch(
      /^Brakes 2\.0\.0 \([0-9a-f-]{36}\) is draft\.\nThen: latticeway campaign submit/,
    );
    expect(await json(alice, "campaign", "show", "Brakes 2.0.0")).toMatchObject({
      waves: [{ share: 5 }, { share: 20, gate: { after_min: 0 } }, { share: 75 }],
      stop_rule: { max_failure_rate: 0.02, confidence: 0.95, min_sample: 5 },
    });

    await as(alice, "campaign", "edit", "Brakes 2.0.0", "--waves", "100");
    const tried = await as(alice, "campaign", "dry-run", "Brakes 2.0.0");
    expect(tried).toMatch(/match +1\n.*in the campaign +1\nget something +1\n/s);
    expect(tried).toMatch(/brake +2\.0\.0 +1 +1/);
    expect(tried).toMatch(/Warning: .* concludes nothing .* than 5 \(STOP_RULE_OUT_OF_REACH\)$/);

    expect(await as(alice, "campaign", "submit", "Brakes 2.0.0")).toContain("is awaiting_approval");
    const own = await run(alice, "campaign", "approve", "Brakes 2.0.0");
    expect(own).toMatchObject({ exitCode: 1, output: "" });
    expect(own.errors).toMatch(/\(CAMPAIGN_OWN_APPROVAL\)\nAnother operator has to approve it/);
    const approved = await as(bob, "campaign", "approve", "Brakes 2.0.0", "--comment", "Tried");
    expect(approved).toMatch(/is scheduled\.\nbob: Tried .*\nThen: latticeway campaign start/);
    const started = (await json(alice, "campaign", "start", "Brakes 2.0.0")) as Campaign;
    expect(started).toMatchObject({ state: "running", approved_by: "bob" });

    const { json: given } = await tell("/ota/package", { vin });
    const ts = new Date().toISOString();
    for (const status of ["downloading", "installing"]) {
      await tell("/ota/status", { update_id: given.update_id, status, progress: 50, ts });
    }
    await tell(`/vehicles/${vin}/vci`, sampleVci({ ECU_001: "2.0.0" }));
    expect(await as(bob, "campaign", "show", "Brakes 2.0.0")).toMatch(
      /\nreleases:\n +- brake@2\.0\.0 \([0-9a-f-]{36}\)\n/,
    );
    const narrow = ["operators", "tokens", "create", "board", "--role", "viewer"];
    const only = await json(alice, ...narrow, "--scopes", "campaigns:read");
    const board = { ...token, LATTICEWAY_TOKEN: only.token };
    expect(await as(board, "campaign", "show", "Brakes 2.0.0")).toMatch(
      /\nreleases:\n +- [0-9a-f-]{36}\n/,
    );
    const progress = await as(alice, "campaign", "progress", "brakes 2.0.0");
    expect(progress).toMatch(/all +1 +0 +1 +0 +0\.0 %/);
    const taking = await as(alice, "campaign", "vehicles", started.name);
    expect(taking).toMatch(new RegExp(`${vin} +[123] +succeeded +1`));
  });

  it("tells of a vehicle what it is, what it gets and what became of it", async () => {
    await as(alice, "vehicles", "tag", "--vehicles", vin, "--add", "pilot");
    expect(await as(alice, "vehicles", "list", "--tag", "pilot")).toMatch(
      new RegExp(`\n${vin} +\\w+ +EU +stable +pilot`),
    );
    expect(await as(alice, "vehicles", "preview", 'tag == "pilot"')).toContain(": 1 vehicles");
    const stats = await as(alice, "vehicles", "stats", "--ecu-type", "brake");
    expect(stats).toMatch(/^1 vehicle\.\n[^]*stable +1\n[^]*\nbrake +2\.0\.0 +1$/);
    const plan = await as(alice, "vehicles", "plan", vin);
    expect(plan).toMatch(/nothing to install\.\n[^]*ECU_003 +.*\(NO_FIRMWARE_FOR_TYPE\)/);
    expect(plan).toContain("Policy: auto.");
    const explained = await as(alice, "vehicles", "explain", vin, "brake@2.0.0");
    expect(explained).toContain(`${vin} runs it already`);
    expect(explained).toContain("Campaign Brakes 2.0.0");
    expect(await as(alice, "history", "--vin", vin)).toMatch(/ECU_001 +1\.0\.0 +2\.0\.0 +success/);
    expect(await as(alice, "logs", "--vin", vin)).toMatch(/downloading +50/);
    const figures = "1 +1 +0 +0 +0 +0 +100\\.0 %";
    for (const [by, name] of [
      ["campaign", "Brakes 2.0.0"],
      ["firmware", "brake 2.0.0"],
    ] as const) {
      expect(await as(alice, "stats", "--by", by)).toMatch(new RegExp(`\n${name} +${figures}`));
    }
    expect(await as(alice, "events", "--kind", "campaign.approved")).toMatch(
      /campaign\.approved +Brakes 2\.0\.0 .*by operator:bob/,
    );
    const events = await json(alice, "events", "--vin", vin, "--limit", "1");
    expect(events.items).toHaveLength(1);
    const more = ["events", "--vin", vin, "--since", events.items[0].id];
    expect((await json(alice, ...more)).items).toEqual([]);
    const file = join(testFolder(), "history.csv");
    await as(alice, "history", "export", "--format", "csv", "--out", file);
    expect(readFileSync(file, "utf8").split("\r\n")[1]).toContain(vin);
    const again = await run(alice, "history", "export", "--out", file);
    expect(again.errors).toBe(
      `error: This is there already, and is not replaced: ${file} (EEXIST)\nName another file, or take that one away`,
    );
  });

  it("gives policies by name, and a vehicle its own", async () => {
    const set = ["policies", "set", "EU", "--filter", 'region == "EU"'];
    await as(alice, ...set, "--mode", "scheduled", "--window", "mon,tue 22:00-04:30");
    expect(await as(alice, "vehicles", "plan", vin)).toMatch(
      /window (open|closed) until [-\dT:]+Z\.$/,
    );
    await as(alice, "policies", "set", "EU", "--mode", "manual");
    expect(await as(alice, "policies", "list")).toMatch(/100 +EU +region == "EU" +manual +alice/);
    const own = await json(alice, "vehicles", "policy", vin, "--parked", "false");
    expect(own).toMatchObject({ source: "vehicle", settings: { parked: false } });
    const reset = await json(alice, "vehicles", "policy", vin, "--reset");
    expect(reset).toMatchObject({ source: "group", name: "EU" });
    await as(alice, "policies", "delete", "EU", "--yes");
  });

  it("rolls out an update in two steps, by its version", async () => {
    const images = JSON.stringify({ steering: image });
    const create = ["create-update", "--version", "1.2.0", "--images", images];
    const draft = (await json(alice, ...create)) as Campaign;
    expect(draft).toMatchObject({ name: "Update 1.2.0", state: "draft", filter: null });
    await as(alice, "campaign", "delete", draft.campaign_id, "--yes");
    // The image is there already, and the same: it takes nobody who may publish.
    const carol = home();
    await person("carol", "campaign_manager", carol);
    await as(carol, ...create);
    const target = ["--vehicles", vin, "--percentage", "99.9999", "--stagger", "5"];
    expect(await as(alice, "rollout", "--version", "1.2.0", ...target)).toContain(
      "is awaiting_approval.\nAnother operator approves it",
    );
    const shown = (await json(alice, "campaign", "show", "Update 1.2.0")) as Campaign;
    expect(shown).toMatchObject({ vins: [vin], percentage: 99.9999, releases: draft.releases });
    expect(shown.waves).toHaveLength(10);
    expect(shown.waves[9]).toEqual({ share: 10, gate: { after_min: 5 } });
    expect(await as(bob, "campaign", "approve", "Update 1.2.0")).toContain("is running.");
    const clone = (await json(alice, "campaign", "clone", "Update 1.2.0")) as Campaign;
    const which = await run(alice, "campaign", "show", "Update 1.2.0");
    expect(which.errors).toContain(
      `${clone.campaign_id} (draft), ${shown.campaign_id} (running) (COMMAND_USAGE)`,
    );
    await as(alice, "campaign", "delete", clone.campaign_id, "--yes");
  });

  it("has a campaign pause, go on and end", async () => {
    const state = async (action: string, ...args: string[]) =>
      ((await json(alice, "campaign", action, "Update 1.2.0", ...args)) as Campaign).state;
    expect(await state("pause", "--comment", "Wait for the weekend")).toBe("paused");
    const { state_reason } = (await json(alice, "campaign", "show", "Update 1.2.0")) as Campaign;
    expect(state_reason?.detail).toBe("alice: Wait for the weekend");
    expect(await state("resume")).toBe("running");
    expect(await state("retry")).toBe("running");
    expect(await state("stop", "--yes")).toBe("stopped");
    expect(await as(alice, "campaign", "rollback", "Update 1.2.0", "--yes")).toMatch(
      /^The vehicles that Update 1\.2\.0 has updated are told to go back, 60 a minute\.\nHow far/,
    );
    expect(await run(alice, "campaign", "start", "Update 1.2.0")).toMatchObject({
      exitCode: 1,
      errors: expect.stringContaining("(CAMPAIGN_STATE)"),
    });
  });

  it("takes a release from beta to stable, and out of use", async () => {
    for (const version of ["1.1.0", "1.2.0"]) {
      const what = ["--ecu-type", "lights", "--version", version, "--hardware", "HW-1.0"];
      await as(alice, "firmware", "upload", image, ...what, "--channel", "beta");
    }
    await as(alice, "firmware", "promote", "lights@1.1.0");
    await as(alice, "firmware", "update", "lights@1.2.0", "--stable", "--notes", "Brighter");
    expect(await as(alice, "vehicles", "plan", vin)).toMatch(/ECU_003 +1\.0\.0 +1\.2\.0 +now/);
    await as(alice, "firmware", "archive", "lights@1.2.0", "--yes");
    expect(await as(alice, "vehicles", "plan", vin)).toMatch(/ECU_003 +1\.0\.0 +1\.1\.0 +now/);
    expect(await json(alice, "firmware", "show", "lights@1.2.0")).toMatchObject({
      ...{ channel: "stable", release_notes: "Brighter", status: "archived" },
    });
  });
});

describe("a session", () => {
  const expire = (change: Partial<Session>) => {
    const file = sessionFile(alice);
    const session = JSON.parse(readFileSync(file, "utf8")) as Session;
    writeFileSync(file, JSON.stringify({ ...session, ...change }));
  };
  const me = async () => {
    const client = await openGateway(alice);
    try {
      return await client.get("/auth/me", Myself);
    } finally {
      await client.close();
    }
  };

  it("is refreshed once, however many commands find it expired", async () => {
    for (let round = 0; round < 2; round++) {
      expire({ expires_at: "2026-01-01T00:00:00Z" });
      const names = (await Promise.all([me(), me(), me(), me()])).map(({ name }) => name);
      expect(names).toEqual(["alice", "alice", "alice", "alice"]);
    }
  });

  it("is not waited for where whoever refreshed it has died", async () => {
    const lock = `${sessionFile(alice)}.lock`;
    writeFileSync(lock, "");
    const before = new Date(Date.now() - 3_600_000);
    utimesSync(lock, before, before);
    expire({ expires_at: "2026-01-01T00:00:00Z" });
    expect(await me()).toMatchObject({ name: "alice" });
  });

  it("gets another token in place of one that the gateway does not take", async () => {
    expire({ access_token: "lwa_0" });
    expect(await me()).toMatchObject({ name: "alice" });
  });

  it("is over with the logout, at the gateway, too", async () => {
    const before = readFileSync(sessionFile(bob), "utf8");
    expect(await as(bob, "logout")).toBe("Logged out.");
    expect((await run(bob, "whoami")).exitCode).toBe(4);
    writeFileSync(sessionFile(bob), before);
    const after = await run(bob, "whoami");
    expect(after.exitCode).toBe(4);
    expect(after.errors).toMatch(/\(REFRESH_TOKEN_INVALID\)\nLog in: latticeway login$/);
    expect(await as(bob, "logout")).toBe("Logged out.");
  });
});

describe("what goes wrong", () => {
  it("shows where a filter is wrong", async () => {
    const { exitCode, errors } = await run(alice, "vehicles", "list", "--filter", 'region = "EU"');
    expect(exitCode).toBe(1);
    expect(errors).toContain('(FILTER_INVALID)\n  region = "EU"\n         ^\ndocs/filters.md');
    const draft = ["campaign", "create", "--name", "x", "--filter", 'model == "A" an tag == "b"'];
    expect((await run(alice, ...draft)).errors).toMatch(
      /\n {2}model == "A" an tag[^\n]*\n {15}\^\n/,
    );
  });

  it.each<[string, number, string[], RegExp]>([
    [
      "an option that is none",
      2,
      ["firmware", "list", "--colour"],
      /unknown option.*\n\s*See latticeway firmware list --help$/,
    ],
    ["a command that is none", 2, ["firmwares"], /unknown command[^]*\nSee latticeway --help$/],
    ["nothing to do", 2, ["campaign"], /Usage: latticeway campaign/],
    ["waves that don't add up", 2, ["campaign", "create", "--waves", "5,20"], /make 25, not 100/],
    ["waves without a gate", 2, ["campaign", "create", "--waves", "5,95"], /COMMAND_USAGE/],
    ["a percentage of nothing", 2, ["rollout", "--percentage", "0"], /above 0/],
    [
      "no image of that version",
      2,
      ["firmware", "show", "brake@9.9.9"],
      /There is no brake 9\.9\.9/,
    ],
    ["an unknown campaign", 2, ["campaign", "show", "none"], /No campaign is called none/],
    [
      "a campaign's name by its beginning",
      2,
      ["campaign", "show", "Brakes"],
      /No campaign is called/,
    ],
    ["an unknown id", 1, ["campaign", "show", crypto.randomUUID()], /CAMPAIGN_UNKNOWN/],
    [
      "an unknown vehicle",
      1,
      ["vehicles", "show", "CLI-404"],
      /VEHICLE_UNKNOWN\)\nSee which there are: [^\n]*$/,
    ],
    ["a name that leaves the path", 1, ["vehicles", "show", "../../healthz"], /REQUEST_INVALID/],
    [
      "a file that is not there",
      1,
      ["campaign", "create", "--file", "/none.yaml"],
      /^error: There is no such file or folder: \/none\.yaml \(ENOENT\)$/,
    ],
    ["what nobody says yes to", 2, ["vehicles", "delete", vin], /--yes/],
    [
      "an end before the start",
      1,
      ["campaign", "edit", "Brakes 2.0.0", "--percentage", "5"],
      /CAMPAIGN_STATE/,
    ],
  ])("says what is wrong with %s", async (_name, code, args, text) => {
    const { exitCode, output, errors } = await run(alice, ...args);
    expect([exitCode, output]).toEqual([code, ""]);
    expect(errors).toMatch(text);
  });

  it("says that nobody is logged in, and that nobody is there, each by its exit code", async () => {
    const nobody = await runProcess(home(), ["vehicles", "list"]);
    expect(nobody).toMatchObject({ exitCode: 4, output: "" });
    expect(nobody.errors).toMatch(/^error: nobody is logged in \(LOGIN_MISSING\)\nLog in: /);
    const login = ["login", "--url", gateway.url, "--ca", ca, "--name", "alice"];
    expect(await runProcess(home(), [...login, "--password-stdin"], "wrong")).toMatchObject({
      exitCode: 4,
    });
    const gone = { ...token, LATTICEWAY_URL: "https://localhost:1" };
    expect(await run(gone, "whoami")).toMatchObject({ exitCode: 3 });
    const elsewhere = await run({ ...alice, LATTICEWAY_URL: "https://localhost:1" }, "whoami");
    expect(elsewhere.errors).toContain("nobody is logged in to https://localhost:1");
  });
});
