import { rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { settle } from "#test/protocol/doip/manual-clock.ts";
import { relate } from "#protocol/uds/response.ts";
import { ecuRig, programmingRequests, type EcuRig } from "./ecu-rig.ts";

const image = Buffer.alloc(1_000, 0x5a);

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig();
});

afterEach(() => rig.dispose());

/** Starts a request and lets the clock run until it is finished. */
async function askInTime(request: string, ms: number, functional = false): Promise<string[]> {
  const answers = rig.ask(request, { functional });
  for (let passed = 0; passed < ms; passed += 10) {
    await settle();
    rig.clock.advance(10);
  }
  return answers;
}

describe("an ECU that is", () => {
  test("slow sends 78s: the first within P2, the next within P2*", async () => {
    rig.ecu.setBehaviour({ slowMs: 5_000 });
    const times: number[] = [];
    const done = rig.ecu.handle(
      Buffer.from("22f186", "hex"),
      { source: 0x0e80, functional: false },
      () => times.push(rig.clock.now()),
    );
    for (let passed = 0; passed < 6_000; passed += 10) {
      await settle();
      rig.clock.advance(10);
    }
    await done;
    expect(times.length).toBe(4);
    expect(times[0]).toBeLessThan(50);
    for (const [index, time] of times.entries()) {
      expect(time - (times[index - 1] ?? time)).toBeLessThan(5_000);
    }
  });

  test("slow answers in the end", async () => {
    rig.ecu.setBehaviour({ slowMs: 100 });
    expect(await askInTime("22f186", 200)).toEqual(["7f2278", "62f18601"]);
    rig.ecu.setBehaviour({ slowMs: 30 });
    expect(await askInTime("22f186", 200)).toEqual(["62f18601"]);
  });

  test("slow answers what was to be suppressed once it has sent a 78", async () => {
    rig.ecu.setBehaviour({ slowMs: 100 });
    expect(await askInTime("3e80", 200)).toEqual(["7f3e78", "7e00"]);
    expect(await askInTime("22ffff", 200, true)).toEqual(["7f2278", "7f2231"]);
  });

  test("slow does not let its session run out meanwhile", async () => {
    await rig.expectPositive("1003");
    rig.ecu.setBehaviour({ slowMs: 8_000 });
    const answers = await askInTime("22f186", 8_500);
    expect(answers.at(-1)).toBe("62f18603");
  });

  test("erasing sends 78s", async () => {
    await rig.enterProgramming();
    rig.ecu.setBehaviour({ eraseMs: 3_000 });
    const answers = rig.ask("3101ff00");
    // The bank is a file on a real disk, so only the loop's end shows that the sleep has begun.
    let finished = false;
    void answers.finally(() => {
      finished = true;
    });
    while (!finished) {
      await settle();
      rig.clock.advance(10);
    }
    const all = await answers;
    expect(all.at(-1)).toBe("7101ff0000");
    expect(all.length).toBeGreaterThan(2);
    expect(new Set(all.slice(0, -1))).toEqual(new Set(["7f3178"]));
  });

  test("silent takes requests and does nothing", async () => {
    rig.ecu.setBehaviour({ silent: true });
    expect(await rig.ask("1003")).toEqual([]);
    rig.ecu.setBehaviour({});
    expect(await rig.ask("22f186")).toEqual(["62f18601"]);
  });

  test("busy answers 21 as often as it was told", async () => {
    rig.ecu.setBehaviour({ busyRequests: 2 });
    expect(await rig.ask("3e00")).toEqual(["7f3e21"]);
    expect(await rig.ask("3e00")).toEqual(["7f3e21"]);
    expect(await rig.ask("3e00")).toEqual(["7e00"]);
  });

  test("wrong gives an answer that belongs to nothing", async () => {
    rig.ecu.setBehaviour({ wrongAnswer: true });
    const [answer = ""] = await rig.ask("22f186");
    const bytes = (text: string) => Buffer.from(text, "hex");
    expect(relate(bytes("22f186"), bytes(answer)).kind).toBe("unrelated");
  });

  test("restarting when it is asked for a service gives no answer", async () => {
    await rig.expectPositive("1003");
    rig.ecu.setBehaviour({ resetAtService: 0x22 });
    expect(await rig.ask("22f186")).toEqual([]);
    expect(rig.events).toEqual(["down", "up"]);
    rig.ecu.setBehaviour({});
    expect(await rig.ask("22f186")).toEqual(["62f18601"]);
  });

  test("failing a block of the transfer gives it up", async () => {
    rig.ecu.setBehaviour({ failAtBlock: 2 });
    await rig.enterProgramming();
    const [erase = "", download = "", ...blocks] = programmingRequests(image, "2.0.0", 102);
    await rig.expectPositive(erase, download, blocks[0] ?? "");
    expect(await rig.ask(blocks[1] ?? "")).toEqual(["7f3672"]);
    expect(await rig.ask(blocks[2] ?? "")).toEqual(["7f3624"]);
    rig.ecu.setBehaviour({});
    await rig.program(image, "2.0.0", 102);
  });

  test("restarting at a block says nothing and has forgotten all", async () => {
    rig.ecu.setBehaviour({ resetAtBlock: 3 });
    await rig.enterProgramming();
    const [erase = "", download = "", ...blocks] = programmingRequests(image, "2.0.0", 102);
    await rig.expectPositive(erase, download, blocks[0] ?? "", blocks[1] ?? "");
    expect(await rig.ask(blocks[2] ?? "")).toEqual([]);
    expect(rig.events).toEqual(["down", "up"]);
    expect(await rig.ask("22f186")).toEqual(["62f18601"]);
    expect(await rig.version()).toBe("1.0.0");
  });

  test("unhealthy after an update fails its self test and is not confirmed", async () => {
    rig.ecu.setBehaviour({ unhealthyAfterUpdate: true });
    await rig.expectPositive("1003");
    expect(await rig.ask("31010205")).toEqual(["7101020500"]);
    await rig.enterProgramming();
    await rig.program(image, "2.0.0");
    await rig.expectPositive("1101", "1003");
    expect(await rig.ask("31010205")).toEqual(["7101020501"]);
    await rig.unlock();
    expect(await rig.ask("31010204")).toEqual(["7f3124"]);
    await rig.expectPositive("31010206", "1101");
    expect(await rig.version()).toBe("1.0.0");
  });

  test("an image that says so of itself fails its self test, whatever the ECU is like", async () => {
    const faulty = Buffer.concat([Buffer.from("Image 2.0.0\nself-test: fails\n"), image]);
    await rig.enterProgramming();
    await rig.program(faulty, "2.0.0");
    await rig.expectPositive("1101", "1003");
    expect(await rig.ask("31010205")).toEqual(["7101020501"]);
    await rig.unlock();
    await rig.expectPositive("31010206", "1101", "1003");
    expect(await rig.version()).toBe("1.0.0");
    expect(await rig.ask("31010205")).toEqual(["7101020500"]);
  });

  test("booting is away for its time", async () => {
    rig.ecu.setBehaviour({ bootMs: 500 });
    const reset = rig.ask("1101");
    await settle();
    while (rig.events.length < 1) await settle();
    expect(rig.events).toEqual(["down"]);
    while (rig.events.length < 2) {
      rig.clock.advance(100);
      await settle();
    }
    expect(await reset).toEqual(["5101"]);
  });
});

test("who asks while somebody else is served is told to come back", async () => {
  rig.ecu.setBehaviour({ slowMs: 30 });
  const first = rig.ask("22f186");
  const second = rig.ask("22f186", { source: 0x0e81 });
  const third = rig.ask("3e00");
  expect(await second).toEqual(["7f2221"]);
  for (let i = 0; i < 20; i++) {
    await settle();
    rig.clock.advance(10);
  }
  expect(await first).toEqual(["62f18601"]);
  expect(await third).toEqual(["7e00"]);
});

test("switching off in the middle of a request ends it without an answer", async () => {
  const other = await ecuRig({}, { slowMs: 60_000 });
  const answers = other.ask("22f186");
  await settle();
  await other.dispose();
  expect(await answers).toEqual([]);
});

test("a disk that fails is a fault of the ECU, not of the process", async () => {
  const other = await ecuRig();
  await rm(other.folder, { recursive: true });
  expect(await other.ask("14ffffff")).toEqual(["7f1410"]);
  expect(other.faults).toHaveLength(1);
  expect(await other.ask("3e00")).toEqual(["7e00"]);
  await other.ecu.stop();
});
