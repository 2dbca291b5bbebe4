import { createServer } from "node:http";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from "vitest";
import { HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { openKeyStore } from "#crypto/key-store.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { ensureDevelopmentPki } from "#crypto/pki.ts";
import type { OnlineKeys } from "#protocol/api/trust.ts";
import { keyRecord } from "#protocol/uptane/key.ts";
import { temporaryFolder, testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { beginCeremony, ceremonyIn, type TestCeremony } from "./ceremony-folder.ts";
import { trust } from "./run-trust.ts";

const { path: folder, remove } = temporaryFolder();
const ONLINE_PASSPHRASE = "Tr0ub4dor and three";
let gateway: TestGateway;
let ceremony: TestCeremony;

/** A gateway in production, with the roots of a ceremony of its own. */
beforeAll(async () => {
  const certs = join(folder, "certs", "trust");
  await mkdir(join(certs, "online"), { recursive: true });
  await writeFile(join(folder, "passphrase"), "correct horse battery staple\n");
  await writeFile(join(folder, "online.json"), JSON.stringify(await makeOnlineKeys(certs)));
  ceremony = ceremonyIn(folder, join(folder, "ceremony"));
  await ceremony.run("init", "--online-keys", join(folder, "online.json"));
  await ceremony.run("sign");
  for (const name of ["director", "image"]) {
    const root = await readFile(ceremony.file(name, "1.root.json"));
    await writeFile(join(certs, `${name}.root.json`), root);
  }
  await ensureDevelopmentPki(join(folder, "certs"), { algorithms: ["ecdsa-p256"] });
  gateway = await startGateway({
    certs_dir: join(folder, "certs"),
    trust: { mode: "production", passphrase: ONLINE_PASSPHRASE },
  });
});
afterAll(async () => {
  await gateway.close();
  remove();
});

async function makeOnlineKeys(certs: string): Promise<OnlineKeys> {
  const store = await openKeyStore(join(certs, "online"), ONLINE_PASSPHRASE, {
    cost: { N: 2, r: 1, p: 1 },
  });
  const pair = async () => {
    const signers = await Promise.all(HYBRID_ALGORITHMS.map((name) => store.make(name)));
    return signers.map(({ publicKey }) => keyRecord(publicKey));
  };
  return {
    director: { targets: await pair(), snapshot: await pair(), timestamp: await pair() },
    image: { snapshot: await pair(), timestamp: await pair() },
  };
}

beforeEach(async () => {
  const token = await readFile(join(gateway.config.data_dir, "operator.token"), "utf8");
  environment(gateway.url, token.trim());
});

function environment(url: string, token: string): void {
  const { certificate } = authorityFiles(join(folder, "certs"), "server", "ecdsa-p256", "root");
  vi.stubEnv("LATTICEWAY_URL", url);
  vi.stubEnv("LATTICEWAY_TOKEN", token);
  vi.stubEnv("LATTICEWAY_CA", certificate);
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
}

describe("latticeway trust, with a gateway", () => {
  test("publishes what is signed, as often as it is told to", async () => {
    for (const state of ["published", "served already"]) {
      expect((await ceremony.run("publish")).split("\n")).toEqual([
        // The gateway was started with them.
        "director root 1: served already",
        "image root 1: served already",
        `image targets 1: ${state}`,
      ]);
    }
    const status = await ceremony.run("status", "--gateway");
    expect(status).toMatch(/^image +targets +1 +\S+T\d\d:\d\d:\d\dZ +served +ceremony$/m);
    expect(status).toMatch(/^director +root +1 /m);
    expect(status).toContain("Images that wait for a signature: 0.");
    expect(status).toMatch(/^No vehicle has registered\.$/m);
  });

  test("exports the keys, and has new ones made for one role", async () => {
    const out = join(folder, "keys.json");
    expect((await trust("keys", "--out", out)).output).toBe(`Wrote ${out}`);
    const before = JSON.parse(await readFile(out, "utf8")) as OnlineKeys;
    const { output } = await trust("keys", "--rotate", "image/snapshot");
    const after = JSON.parse(output) as OnlineKeys;
    expect(after.image.snapshot).not.toEqual(before.image.snapshot);
    expect({ ...after, image: { ...after.image, snapshot: [] } }).toEqual({
      ...before,
      image: { ...before.image, snapshot: [] },
    });
    for (const role of ["image/targets", "director/root", "timestamp"]) {
      const refused = await trust("keys", "--rotate", role);
      expect(["TRUST_ROLE_OFFLINE", "commander.invalidArgument"]).toContain(refused.code);
    }
  });

  test("exports what waits for release", async () => {
    expect(JSON.parse((await trust("pending")).output)).toEqual([]);
    const out = join(folder, "pending.json");
    expect((await trust("pending", "--out", out)).output).toBe(`Wrote ${out}, images: 0`);
    expect(await ceremony.refusal("add-target")).toBe("CEREMONY_NOTHING_TO_DO");
    expect((await trust("add-target", "--dir", ceremony.dir)).errors).toContain("no image waits");
  });

  test("rehearses a root: says who goes on, and who is stranded and why", async () => {
    const vehicle = await gateway.vehicle("VMG-001");
    await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-001" } });
    await vehicle.send("GET", "/api/v1/uptane/director/2.root.json");
    await ceremony.run("rotate", "--repository", "director");
    const draft = ceremony.file("director", "draft", "2.root.json");
    const stranded = await trust("rehearse", draft);
    expect(stranded).toMatchObject({ code: "REHEARSAL_STRANDED", exitCode: 1 });
    expect(stranded.output).toMatch(/^root 1 +1 +stranded +.*\(UPTANE_SIGNATURE_MISSING\)$/m);
    await ceremony.run("sign");
    const { code, output } = await trust("rehearse", ceremony.file("director", "2.root.json"));
    expect(code).toBe("ok");
    expect(output).toMatch(/^root 1 +1 +goes on/m);
    expect(await ceremony.run("publish")).toContain("director root 2: published");
  });

  test("shows why the gateway refuses a file: by a vehicle's own code", async () => {
    const stranger = await beginCeremony();
    await stranger.run("sign");
    expect(await stranger.refusal("publish")).toBe("UPTANE_ROOT_NOT_CROSS_SIGNED");
    const file = join(folder, "1.root.json");
    await writeFile(file, await readFile(ceremony.file("image", "1.root.json")));
    expect(await ceremony.refusal("publish", file)).toBe("CEREMONY_FILE_INVALID");
    expect(await ceremony.refusal("publish", ceremony.file("image", "none.json"))).toBe(
      "CEREMONY_FILE_INVALID",
    );
  });

  test("leaves out drafts, and says so", async () => {
    await ceremony.run("rotate", "--repository", "image", "--role", "root");
    const output = await ceremony.run("publish");
    expect(output).toMatch(/^Left out, not signed by all: .*image\/draft\/\d\.root\.json$/m);
    expect(await (await beginCeremony()).refusal("publish")).toBe("CEREMONY_NOTHING_TO_DO");
  });

  test("takes the gateway's keys for a new ceremony", async () => {
    const other = ceremonyIn(folder, join(testFolder(), "ceremony"));
    await other.run("init");
    expect(await other.names("director", "draft")).toEqual(["1.root.json"]);
  });

  test("refuses without address, without a gateway there, and with a wrong token", async () => {
    environment(gateway.url, "wrong");
    expect((await trust("keys")).code).toBe("TOKEN_INVALID");
    environment("https://127.0.0.1:1", "token");
    expect((await trust("keys")).code).toBe("GATEWAY_UNREACHABLE");
    environment("", "token");
    expect((await trust("keys")).code).toBe("GATEWAY_UNNAMED");
    environment(gateway.url, "token");
    vi.stubEnv("LATTICEWAY_CA", join(folder, "nowhere.pem"));
    expect((await trust("keys")).code).toBe("ENOENT");
  });

  test.each<[string, number, string]>([
    ["no JSON", 200, "<html>"],
    ["another shape", 200, "{}"],
    ["no problem document", 502, "Bad gateway"],
  ])("refuses an answer that is %s", async (_name, status, body) => {
    const server = createServer((_request, response) => response.writeHead(status).end(body));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    onTestFinished(() => void server.close());
    environment(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, "token");
    expect((await trust("keys")).code).toBe("GATEWAY_ANSWER_INVALID");
  });
});
