import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openKeyStore, type KeyStore } from "#crypto/key-store.ts";
import { keyId, keyRecord } from "#protocol/uptane/key.ts";
import { addSignatures, signMetadata } from "#protocol/uptane/sign.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import type { Caller, TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { PASSPHRASE, startProduction, type Production } from "./production.ts";

let production: Production;
let gateway: TestGateway;
let store: KeyStore;
let before: string;

beforeAll(async () => {
  ({ gateway, ...production } = await startProduction());
  const { ceremony } = production;
  await ceremony.run("publish");
  await publish(gateway.admin, { ecu_type: "brake", version: "1.2.3" });
  await ceremony.run("add-target");
  await ceremony.run("sign");
  store = await openKeyStore(ceremony.file("keys"), PASSPHRASE);
  before = await served();
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await gateway.close();
  await production.remove();
});

const served = async () =>
  (await gateway.admin.send("GET", "/api/v1/uptane/image/timestamp.json")).bytes.toString();
const send = (
  body: string | Buffer,
  { repository = "image", query = "", by = gateway.admin }: Target = {},
) =>
  by.send("POST", `/api/v1/uptane/${repository}/metadata${query}`, {
    raw: { type: "application/json", body },
  });
interface Target {
  repository?: string;
  query?: string;
  by?: Caller;
}

interface File {
  signed: Record<string, unknown> & { version: number };
  signatures: { keyid: string; sig: string }[];
}
const read = async (...path: string[]) =>
  JSON.parse(await readFile(production.ceremony.file(...path), "utf8")) as File;
/** The targets that would be fine, signed again with a change by every offline key. */
const changed = async (change: Partial<File["signed"]>) => {
  const { signed } = await read("image", "2.targets.json");
  return signMetadata({ ...signed, ...change }, store.list());
};

describe("metadata that a client would refuse", () => {
  const cases: [string, string, () => Promise<string | Buffer>][] = [
    ["UPTANE_METADATA_MALFORMED", "no JSON", async () => "{"],
    ["UPTANE_METADATA_TYPE", "nothing of metadata", async () => "[]"],
    [
      "UPTANE_SIGNATURE_MISSING",
      "of one family only",
      async () => {
        const file = await read("image", "2.targets.json");
        const [one] = file.signatures.filter(({ sig }) => sig.length < 1000);
        return JSON.stringify({ ...file, signatures: [one] });
      },
    ],
    [
      "UPTANE_SIGNATURE_INVALID",
      "altered after it was signed",
      async () => {
        const file = await read("image", "2.targets.json");
        return JSON.stringify({ ...file, signed: { ...file.signed, targets: {} } });
      },
    ],
    [
      "UPTANE_SIGNATURE_MISSING",
      "of another ceremony",
      async () => {
        const folder = testFolder();
        const other = await openKeyStore(folder, undefined);
        await Promise.all([other.make("ecdsa-p256"), other.make("ml-dsa-65")]);
        return signMetadata((await read("image", "2.targets.json")).signed, other.list());
      },
    ],
    ["UPTANE_TARGETS_ROLLBACK", "older", () => changed({ version: 1 })],
    ["UPTANE_EXPIRED", "over", () => changed({ expires: "2026-01-01T00:00:00Z" })],
    ["UPTANE_SPEC_VERSION", "of another specification", () => changed({ spec_version: "2.0.0" })],
    [
      "UPTANE_METADATA_DUPLICATE_KEY",
      "with a key twice",
      async () => {
        const text = await readFile(production.ceremony.file("image", "2.targets.json"), "utf8");
        return text.replace('"signed":{', '"signed":{"version":2,');
      },
    ],
    [
      "UPTANE_METADATA_MALFORMED",
      "with a fraction",
      async () => {
        const text = await readFile(production.ceremony.file("image", "2.targets.json"), "utf8");
        return text.replace('"signed":{', '"signed":{"share":0.5,');
      },
    ],
  ];
  test.each(cases)("is refused with %s: %s", async (code, _name, make) => {
    const answer = await send(await make());
    expect(problemOf(answer)).toBe("METADATA_REFUSED");
    expect(answer.json.reason).toBe(code);
    expect(await served()).toBe(before);
    expect((await gateway.admin.send("GET", "/api/v1/uptane/pending")).json).toHaveLength(1);
  });

  test("is refused for roots that come out of turn, or that the old keys have not signed", async () => {
    const root = await read("image", "1.root.json");
    const version = async (number: number) =>
      signMetadata({ ...root.signed, version: number }, store.list());
    expect((await send(await version(3))).json.reason).toBe("UPTANE_ROOT_SKIPPED");
    expect((await send(await version(1))).json.reason).toBe("UPTANE_ROOT_ROLLBACK");
    // A root that another ceremony's keys have signed, as a thief of the gateway would make it.
    const foreign = await read("director", "1.root.json");
    const ids = foreign.signatures.map(({ keyid }) => keyid);
    const signers = store
      .list()
      .filter(({ publicKey }) => ids.includes(keyId(keyRecord(publicKey))));
    const crossed = await signMetadata({ ...foreign.signed, version: 2 }, signers);
    expect((await send(crossed)).json.reason).toBe("UPTANE_ROOT_NOT_CROSS_SIGNED");
    expect(await served()).toBe(before);
  });

  test.each(["director", "image"])("is refused for a root of the %s that is over", async (name) => {
    const { signed } = await read(name, "1.root.json");
    const over = { ...signed, version: 2, expires: "2026-01-01T00:00:00Z" };
    const answer = await send(await signMetadata(over, store.list()), { repository: name });
    expect(answer.json.reason).toBe("UPTANE_EXPIRED");
    expect(await served()).toBe(before);
  });

  test("is refused for roles that the gateway signs, or that nobody has delegated", async () => {
    expect(problemOf(await send(before))).toBe("TRUST_ROLE_ONLINE");
    const targets = await readFile(production.ceremony.file("image", "2.targets.json"));
    expect(problemOf(await send(targets, { repository: "director" }))).toBe("TRUST_ROLE_ONLINE");
    const supplier = await send(targets, { query: "?role=supplier-a" });
    expect(supplier.json.reason).toBe("UPTANE_TARGETS_UNLISTED");
  });

  test.each(["director", "image"])(
    "is refused for a root of the %s whose online keys the gateway lacks",
    async (repository) => {
      const root = (await read(repository, "1.root.json")).signed as File["signed"] & {
        roles: Record<string, { keyids: string[] }>;
      };
      const { timestamp, ...roles } = root.roles;
      const keyids = root.roles["root"]?.keyids;
      const next = {
        ...root,
        version: 2,
        roles: { ...roles, timestamp: { ...timestamp, keyids } },
      };
      const answer = await send(await signMetadata(next, store.list()), { repository });
      expect(problemOf(answer)).toBe("TRUST_KEY_MISSING");
    },
  );

  test("is not even read beyond its bound, as another type, or from who may not", async () => {
    const tooMuch = Buffer.alloc(9 * 1024 * 1024, " ");
    expect(problemOf(await send(tooMuch))).toBe("BODY_TOO_LARGE");
    const tooMuchRoot = Buffer.concat([
      await readFile(production.ceremony.file("image", "1.root.json")),
      Buffer.alloc(600 * 1024, " "),
    ]);
    expect((await send(tooMuchRoot)).json.reason).toBe("UPTANE_METADATA_TOO_LARGE");
    const path = "/api/v1/uptane/image/metadata";
    const text = { raw: { type: "text/plain", body: "{}" } };
    expect(problemOf(await gateway.admin.send("POST", path, text))).toBe("MEDIA_TYPE_UNSUPPORTED");
    expect(problemOf(await gateway.admin.send("POST", path))).toBe("REQUEST_MALFORMED");
    const token = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
      body: { name: "viewer", role: "viewer" },
    });
    const viewer = gateway.operator((token.json as { token: string }).token);
    expect(problemOf(await send("{}", { by: viewer }))).toBe("ROLE_REQUIRED");
    expect(problemOf(await send("{}", { by: gateway.operator("") }))).toBe("TOKEN_REQUIRED");
    const vehicle = await gateway.vehicle("VMG-001");
    expect(problemOf(await send("{}", { by: vehicle }))).toBe("TOKEN_REQUIRED");
  });

  test.each([
    ["director", "root"],
    ["image", "targets"],
    ["image", "root"],
  ])("new keys are not made for the %s's %s", async (repository, role) => {
    const answer = await gateway.admin.send("POST", "/api/v1/uptane/keys/rotate", {
      body: { repository, role },
    });
    expect(["TRUST_ROLE_OFFLINE", "REQUEST_INVALID"]).toContain(problemOf(answer));
  });
});

describe("metadata that is signed by all", () => {
  test("is published, however often it is sent, and however many at once", async () => {
    const targets = await readFile(production.ceremony.file("image", "2.targets.json"));
    const answers = await Promise.all(Array.from({ length: 6 }, () => send(targets)));
    const answer = {
      repository: "image",
      role: "targets",
      version: 2,
      live: true,
      waiting_for: [],
    };
    for (const { status, json } of answers) {
      expect([status, json]).toMatchObject([200, answer]);
    }
    expect(answers.filter(({ json }) => json.changed as boolean)).toHaveLength(1);
    const after = await served();
    expect(after).not.toBe(before);
    await send(targets);
    expect(await served()).toBe(after);
    // Another signature under the same version is not the same file.
    const again = await addSignatures(targets, [await store.make("ecdsa-p256")]);
    expect((await send(again)).json.reason).toBe("UPTANE_TARGETS_ROLLBACK");
  });

  test("with new release keys is served together with the root that names them", async () => {
    const { ceremony } = production;
    await ceremony.run("rotate", "--repository", "image", "--role", "targets");
    await ceremony.run("sign");
    const timestamp = await served();
    const root = await send(await readFile(ceremony.file("image", "2.root.json")));
    expect(root.json).toMatchObject({ role: "root", live: false, waiting_for: ["targets"] });
    const notYet = await gateway.admin.send("GET", "/api/v1/uptane/image/2.root.json");
    expect(problemOf(notYet)).toBe("METADATA_UNKNOWN");
    expect(await served()).toBe(timestamp);
    const targets = await send(await readFile(ceremony.file("image", "3.targets.json")));
    expect(targets.json).toMatchObject({ version: 3, live: true });
    expect((await gateway.admin.send("GET", "/api/v1/uptane/image/2.root.json")).status).toBe(200);
    expect(await ceremony.run("status", "--gateway")).not.toContain("waits for other roles");
  });
});
