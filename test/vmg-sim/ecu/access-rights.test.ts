import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { settle } from "#test/protocol/doip/manual-clock.ts";
import type { TesterRole } from "#crypto/tester-role.ts";
import type { TesterCredentials } from "#protocol/uds/authentication.ts";
import type { AuthenticationOptions } from "#vmg-sim/ecu/tester-trust.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import { authenticate, testerPki, type TesterPki } from "./authentication-rig.ts";
import { ecuRig, programmingRequests, type EcuRig } from "./ecu-rig.ts";

const COMPLETE = "6903120000";
const WRITE = "2ef19920261105";
const WRITTEN = "6ef199";
const LOCKED = "7f2e33";
const OTHER = { source: 0x0e81 };
const VMG = { source: 0x0f00 };

let pki: TesterPki;
let testers: Record<TesterRole, TesterCredentials>;
let rig: EcuRig;

beforeAll(async () => {
  pki = await testerPki();
  testers = {
    read: await pki.tester("reader", { role: "read" }),
    write: await pki.tester("writer", { role: "write" }),
    control: await pki.tester("controller", { role: "control" }),
    programming: await pki.tester("programmer", { role: "programming" }),
  };
});
afterAll(() => pki.remove());
afterEach(() => rig.dispose());

async function start(
  more: Partial<AuthenticationOptions> = {},
  behaviour: EcuBehaviour = {},
): Promise<void> {
  rig = await ecuRig({}, behaviour, undefined, undefined, { ...pki.options, ...more });
}

/** In the extended session, authenticated. */
async function authenticated(role: TesterRole = "write"): Promise<void> {
  await rig.expectPositive("1003");
  expect(await authenticate(rig, testers[role])).toBe(COMPLETE);
}

describe("an authentication", () => {
  test.each<[string, () => unknown]>([
    ["the default session", () => rig.ask("1001")],
    ["a reset", () => rig.ask("1101")],
    ["29 00", () => rig.ask("2900")],
    ["5 s without a request", () => rig.clock.advance(5_000)],
    ["switching off", () => rig.powerCycle()],
  ])("ends with %s", async (_, end) => {
    await start();
    await authenticated();
    expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
    await end();
    await rig.expectPositive("1003");
    expect(await rig.ask(WRITE)).toEqual([LOCKED]);
  });

  test("lasts as long as requests come, into another session too", async () => {
    await start();
    await authenticated();
    for (let n = 0; n < 3; n++) {
      rig.clock.advance(4_999);
      await rig.expectPositive("3e00");
    }
    await rig.expectPositive("1002");
    expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
  });

  test("is not kept up by another tester's requests", async () => {
    await start();
    await authenticated();
    for (let n = 0; n < 2; n++) {
      rig.clock.advance(3_000);
      await rig.ask("3e00", OTHER);
    }
    expect(await rig.ask(WRITE)).toEqual([LOCKED]);
  });

  test("can be had in the default session", async () => {
    await start();
    expect(await authenticate(rig, testers.write)).toBe(COMPLETE);
    await rig.expectPositive("1003");
    expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
  });

  test("is the tester's own: another one is let in by none of it", async () => {
    await start();
    await authenticated();
    expect(await rig.ask(WRITE, OTHER)).toEqual([LOCKED]);
    await rig.ask("2900", OTHER);
    expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
    expect(await authenticate(rig, testers.write, OTHER)).toBe(COMPLETE);
    expect(await rig.ask(WRITE, OTHER)).toEqual([WRITTEN]);
    expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
  });

  test("ends with its certificate", async () => {
    let now = new Date();
    await start({ now: () => now });
    await authenticated();
    now = new Date(now.getTime() + 2 * 86_400_000);
    expect(await rig.ask(WRITE)).toEqual([LOCKED]);
  });

  test("survives a request that takes long", async () => {
    await start({}, { eraseMs: 20_000 });
    await rig.expectPositive("1003");
    expect(await authenticate(rig, testers.programming)).toBe(COMPLETE);
    await rig.expectPositive("1002");
    let isErased = false;
    const erasing = rig.ask("3101ff00").finally(() => {
      isErased = true;
    });
    while (!isErased) {
      rig.clock.advance(1_000);
      await settle();
    }
    expect((await erasing).at(-1)).toBe("7101ff0000");
    expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
  });

  test("gives way to that of a 17th tester when it is the one silent for longest", async () => {
    await start();
    await authenticated();
    for (let n = 1; n <= 16; n++) {
      rig.clock.advance(10);
      expect(await authenticate(rig, testers.write, { source: 0x0e80 + n })).toBe(COMPLETE);
    }
    expect(await rig.ask(WRITE, { source: 0x0e81 })).toEqual([WRITTEN]);
    expect(await rig.ask(WRITE)).toEqual([LOCKED]);
  });
});

describe("a role", () => {
  /** Requests that need a security level in the extended session, and the role they are of. */
  const covered: [string, string, TesterRole][] = [
    ["writing a DID", WRITE, "write"],
    ["going back to the other bank", "31010206", "programming"],
  ];
  const roles = ["read", "write", "control", "programming"] as const;

  test.each(
    covered.flatMap(([what, request, needed]) =>
      roles.map(
        (role) => [role, what, request, roles.indexOf(role) >= roles.indexOf(needed)] as const,
      ),
    ),
  )("%s and %s", async (role, _, request, isOpen) => {
    await start();
    await authenticated(role);
    const [answer = ""] = await rig.ask(request);
    expect(answer.endsWith("33")).toBe(!isOpen);
  });

  test("to program opens all that flashing needs", async () => {
    await start();
    await authenticated("programming");
    await rig.expectPositive("1002");
    const image = randomBytes(300_000);
    await rig.expectPositive(...programmingRequests(image, "1.1.0"), "1101");
    expect(await rig.version()).toBe("1.1.0");
  });

  test("to control does not open flash", async () => {
    await start();
    await authenticated("control");
    await rig.expectPositive("1002");
    expect(await rig.ask("3101ff00")).toEqual(["7f3133"]);
    expect(await rig.ask("34004400000000000000ff")).toEqual(["7f3433"]);
    expect(await rig.ask("360100")).toEqual(["7f3633"]);
    expect(await rig.ask("37")).toEqual(["7f3733"]);
  });

  test("leaves the way by security access open", async () => {
    await start();
    await rig.expectPositive("1003");
    await rig.unlock();
    expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
  });
});

describe("an ECU that demands authentication", () => {
  const requests: [string, string, TesterRole][] = [
    ["reading a DID", "22f190", "read"],
    ["reading trouble codes", "1902ff", "read"],
    ["writing a DID", WRITE, "write"],
    ["clearing trouble codes", "14ffffff", "write"],
    ["a routine", "31010205", "control"],
    ["a reset", "1101", "control"],
    ["switching trouble codes off", "8502", "control"],
    ["a routine of programming", "3101ff00", "programming"],
    ["a download", "34004400000000000000ff", "programming"],
  ];
  const roles = ["read", "write", "control", "programming"] as const;
  const isFrom = (role: TesterRole, first: TesterRole) =>
    roles.indexOf(role) >= roles.indexOf(first);

  test.each(requests)(
    "asks for it before %s, as far as it is told to",
    async (_, request, role) => {
      for (const requiredFrom of roles) {
        await start({ requiredFrom });
        await rig.expectPositive("1003", "1002");
        const [answer = ""] = await rig.ask(request);
        const isAsked = answer === `7f${request.slice(0, 2)}34`;
        expect([requiredFrom, isAsked]).toEqual([requiredFrom, isFrom(role, requiredFrom)]);
        if (requiredFrom !== "programming") await rig.dispose();
      }
    },
  );

  test("is content with the role that covers it, and with no lower one", async () => {
    await start({ requiredFrom: "write" });
    await authenticated("read");
    expect(await rig.ask("14ffffff")).toEqual(["7f1434"]);
    await authenticated("write");
    expect(await rig.ask("14ffffff")).toEqual(["54"]);
    expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
    expect(await rig.ask("31010205")).toEqual(["7f3134"]);
  });

  test("is not content with security access", async () => {
    await start({ requiredFrom: "write" });
    await rig.expectPositive("1003");
    await rig.unlock();
    expect(await rig.ask(WRITE)).toEqual(["7f2e34"]);
  });

  test("lets everybody choose sessions, stay and authenticate", async () => {
    await start({ requiredFrom: "read" });
    for (const request of ["1003", "3e00", "2701", "2908", "1001"]) {
      expect((await rig.ask(request))[0]).not.toMatch(/^7f/);
    }
  });

  test("does not ask the VMG, which has its own key", async () => {
    await start({ requiredFrom: "read" });
    expect((await rig.ask("22f186", VMG))[0]).toBe("62f18601");
    expect(await rig.ask("22f186", { source: 0x0e80 })).toEqual(["7f2234"]);
    expect(await rig.ask("22f186", { source: 0x0eff })).toEqual(["7f2234"]);
  });
});
