import { createHash, randomBytes } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ecuRig, programmingRequests, transferRequests, type EcuRig } from "./ecu-rig.ts";

const image = Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7) & 0xff));
const BLOCK = 102;

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig({ max_block_length: BLOCK });
});

afterEach(() => rig.dispose());

const flashed = async (bytes = image, version = "2.0.0") => {
  await rig.enterProgramming();
  await rig.program(bytes, version, BLOCK);
};

/** `31 01 rid` in the extended session, unlocked. */
const routine = async (rid: string) => {
  await rig.expectPositive("1003");
  await rig.unlock();
  return rig.ask(`3101${rid}`);
};

describe("the programming flow", () => {
  test("tries the new image, keeps it when it is confirmed", async () => {
    await flashed();
    expect(await rig.version()).toBe("1.0.0");
    await rig.expectPositive("1101");
    expect(await rig.version()).toBe("2.0.0");
    expect(await routine("0205")).toEqual(["7101020500"]);
    expect(await rig.ask("31010204")).toEqual(["7101020400"]);
    await rig.expectPositive("1101");
    expect(await rig.version()).toBe("2.0.0");
    await rig.powerCycle();
    expect(await rig.version()).toBe("2.0.0");
  });

  test("writes exactly the image's bytes", async () => {
    await flashed();
    expect(await readFile(join(rig.folder, "bank-b.bin"))).toEqual(image);
  });

  test.each([
    ["a reset", () => rig.expectPositive("1101")],
    ["switching off", () => rig.powerCycle()],
  ])("runs the old image again after %s without a confirmation", async (_, restart) => {
    await flashed();
    await rig.expectPositive("1101");
    expect(await rig.version()).toBe("2.0.0");
    await restart();
    expect(await rig.version()).toBe("1.0.0");
    await restart();
    expect(await rig.version()).toBe("1.0.0");
  });

  test("switching off counts as the restart that tries the image", async () => {
    await flashed();
    await rig.powerCycle();
    expect(await rig.version()).toBe("2.0.0");
  });

  test("goes back on purpose from a trial", async () => {
    await flashed();
    await rig.expectPositive("1101");
    expect(await routine("0206")).toEqual(["7101020600"]);
    expect(await rig.version()).toBe("2.0.0");
    await rig.expectPositive("1101");
    expect(await rig.version()).toBe("1.0.0");
  });

  test("goes back on purpose after the confirmation, and forth", async () => {
    await flashed();
    await rig.expectPositive("1101");
    await routine("0205");
    await rig.expectPositive("31010204");
    for (const version of ["1.0.0", "2.0.0"]) {
      expect(await routine("0206")).toEqual(["7101020600"]);
      await rig.expectPositive("1101");
      expect(await rig.version()).toBe(version);
    }
  });

  test("does not go back to a bank that was erased or never proved itself", async () => {
    expect(await routine("0206")).toEqual(["7f3122"]);
    await flashed();
    expect(await routine("0206")).toEqual(["7f3122"]);
    await rig.expectPositive("1101");
    await routine("0205");
    await rig.expectPositive("31010204", "1003", "1002");
    await rig.unlock();
    await rig.expectPositive("3101ff00");
    expect(await routine("0206")).toEqual(["7f3122"]);
  });

  test("does not go back to a bank whose file is not whole any more", async () => {
    await flashed();
    await rig.expectPositive("1101");
    await routine("0205");
    await rig.expectPositive("31010204");
    await routine("0206");
    await rig.expectPositive("1101");
    expect(await rig.version()).toBe("1.0.0");
    await truncate(join(rig.folder, "bank-b.bin"), 10);
    expect(await routine("0206")).toEqual(["7f3122"]);
  });

  test("flashes again into the bank that is free, over and over", async () => {
    for (let major = 2; major < 6; major++) {
      await flashed(randomBytes(1_000), `${major}.0.0`);
      await rig.expectPositive("1101");
      await routine("0205");
      await rig.expectPositive("31010204");
      expect(await rig.version()).toBe(`${major}.0.0`);
    }
    expect((await readdir(rig.folder)).sort()).toEqual(["bank-a.bin", "bank-b.bin", "state.json"]);
  });

  test("never touches the other bank while an image is on trial or a way back is armed", async () => {
    await flashed();
    await rig.expectPositive("1101");
    await rig.enterProgramming();
    expect(await rig.ask("3101ff00")).toEqual(["7f3122"]);
    await rig.expectPositive("31010206");
    expect(await rig.ask("3101ff00")).toEqual(["7f3122"]);
    expect(await rig.ask("340044000000000000000a")).toEqual(["7f3470"]);
  });

  test("erasing takes back an activation", async () => {
    await flashed();
    await rig.expectPositive("3101ff00", "1101");
    expect(await rig.version()).toBe("1.0.0");
  });

  test("an activation that was taken back stays so, whatever comes into the bank later", async () => {
    await flashed();
    await rig.expectPositive("3101ff00");
    await rig.program(image, "3.0.0", BLOCK);
    await rig.expectPositive("3101ff00");
    const withoutActivation = programmingRequests(image, "4.0.0", BLOCK).slice(0, -1);
    await rig.expectPositive(...withoutActivation, "1101");
    expect(await rig.version()).toBe("1.0.0");
  });

  test("a routine's last result can be asked for", async () => {
    await flashed();
    expect(await rig.ask("31030202")).toEqual(["7103020200"]);
    expect(await rig.ask("31030205")).toEqual(["7f3124"]);
    expect(await rig.ask("3103020201")).toEqual(["7f3113"]);
  });
});

describe("what does not fit is not tried", () => {
  beforeEach(() => rig.enterProgramming());

  const sha256 = createHash("sha256").update(image).digest("hex");
  const version = `05${Buffer.from("2.0.0").toString("hex")}`;
  const [erase = "", download = ""] = programmingRequests(image, "2.0.0", BLOCK);

  async function transferred(): Promise<void> {
    await rig.expectPositive(erase, download, ...transferRequests(image, BLOCK), "37");
  }

  test("a wrong hash fails, and nothing after it passes", async () => {
    await transferred();
    expect(await rig.ask(`31010202${"00".repeat(32)}${version}`)).toEqual(["7101020201"]);
    expect(await rig.ask("3101ff01")).toEqual(["7101ff0101"]);
    expect(await rig.ask("31010203")).toEqual(["7f3124"]);
    await rig.expectPositive("1101");
    expect(await rig.version()).toBe("1.0.0");
  });

  test("the right hash may follow the wrong one, not the other way round", async () => {
    await transferred();
    expect(await rig.ask(`31010202${"00".repeat(32)}${version}`)).toEqual(["7101020201"]);
    expect(await rig.ask(`31010202${sha256}${version}`)).toEqual(["7101020200"]);
    expect(await rig.ask(`31010202${"00".repeat(32)}${version}`)).toEqual(["7101020201"]);
    expect(await rig.ask("3101ff01")).toEqual(["7101ff0101"]);
  });

  test("what changed on disk after the transfer has another hash", async () => {
    await transferred();
    const file = join(rig.folder, "bank-b.bin");
    const bytes = await readFile(file);
    bytes[4_321] = (bytes[4_321] ?? 0) ^ 1;
    await writeFile(file, bytes);
    expect(await rig.ask(`31010202${sha256}${version}`)).toEqual(["7101020201"]);
  });

  test.each([
    ["no record", "", "7f3113"],
    ["half a hash", "00".repeat(16), "7f3113"],
    ["a version cut short", `${sha256}05322e30`, "7f3113"],
    ["bytes after the version", `${sha256}${version}00`, "7f3113"],
    ["an empty version", `${sha256}00`, "7f3131"],
  ])("check memory with %s is refused", async (_, record, answer) => {
    await transferred();
    expect(await rig.ask(`31010202${record}`)).toEqual([answer]);
  });

  test("the steps are taken in their order", async () => {
    expect(await rig.ask(`31010202${sha256}${version}`)).toEqual(["7f3124"]);
    expect(await rig.ask("3101ff01")).toEqual(["7101ff0101"]);
    expect(await rig.ask("31010203")).toEqual(["7f3124"]);
    expect(await rig.ask("31010204")).toEqual(["7f3122"]);
    await transferred();
    expect(await rig.ask("31010203")).toEqual(["7f3124"]);
    await rig.expectPositive(`31010202${sha256}${version}`);
    expect(await rig.ask("31010203")).toEqual(["7f3124"]);
    await rig.expectPositive("3101ff01", "31010203");
  });

  test("an image on trial is confirmed only after its self test", async () => {
    await rig.program(image, "2.0.0", BLOCK);
    await rig.expectPositive("1101");
    expect(await routine("0204")).toEqual(["7f3124"]);
    await rig.expectPositive("31010205", "31010204");
  });

  test.each([
    ["cut short", "3400440000000000", "7f3413"],
    ["too long", "3400440000000000001388ff", "7f3413"],
    ["field sizes of 0", "3400000000", "7f3431"],
    ["compressed", "3410440000000000001388", "7f3431"],
    ["another address", "3400440000100000001388", "7f3431"],
    ["no bytes", "3400440000000000000000", "7f3431"],
    ["more than a bank holds", "340054000000000200000000", "7f3431"],
  ])("a download that is %s is refused", async (_, request, answer) => {
    await rig.expectPositive(erase);
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("a download needs an erased bank, and only one runs at a time", async () => {
    await rig.expectPositive(erase, download);
    expect(await rig.ask(download)).toEqual(["7f3422"]);
    await rig.expectPositive(...transferRequests(image, BLOCK), "37");
    expect(await rig.ask(download)).toEqual(["7f3470"]);
  });

  test("blocks are counted from 1, wrap, and come once", async () => {
    await rig.expectPositive(erase, "3400440000000000000400");
    expect(await rig.ask("3600aa")).toEqual(["7f3673"]);
    expect(await rig.ask("3602aa")).toEqual(["7f3673"]);
    for (let block = 1; block <= 600; block++) {
      const counter = (block & 0xff).toString(16).padStart(2, "0");
      expect(await rig.ask(`36${counter}aa`)).toEqual([`76${counter}`]);
    }
    const last = (600 & 0xff).toString(16).padStart(2, "0");
    expect(await rig.ask(`36${last}bb`)).toEqual([`76${last}`]);
    expect(await rig.ask("37")).toEqual(["7f3724"]);
    const stored = await readFile(join(rig.folder, "bank-b.bin"));
    expect(stored.equals(Buffer.alloc(600, 0xaa))).toBe(true);
  });

  test("more data than announced, or in one block, is refused", async () => {
    await rig.expectPositive(erase, "3400440000000000000003", "3601aabb");
    expect(await rig.ask("3602ccdd")).toEqual(["7f3671"]);
    expect(await rig.ask(`3602${"cc".repeat(BLOCK - 1)}`)).toEqual(["7f3613"]);
    expect(await rig.ask("3602")).toEqual(["7f3613"]);
    await rig.expectPositive("3602cc");
    expect(await rig.ask("3700")).toEqual(["7f3713"]);
    await rig.expectPositive("37");
  });

  test("the ECU tells its block length", async () => {
    await rig.expectPositive(erase);
    expect(await rig.ask(download)).toEqual([`7420${BLOCK.toString(16).padStart(4, "0")}`]);
  });

  test.each(["1001", "1003", "1002"])(
    "a change of session (%s) ends the transfer",
    async (session) => {
      await rig.expectPositive(erase, download, "3601aa", session, "1003");
      await rig.enterProgramming();
      expect(await rig.ask("3602aa")).toEqual(["7f3624"]);
      expect(await rig.ask(download)).toEqual(["7f3470"]);
      await rig.program(image, "2.0.0", BLOCK);
    },
  );

  test("a session that runs out ends the transfer", async () => {
    await rig.expectPositive(erase, download, "3601aa");
    rig.clock.advance(5_000);
    expect(await rig.ask("3602aa")).toEqual(["7f367f"]);
  });
});

describe("any block length", () => {
  test.each([3, 4, 257, 4_095, 65_535])("%i", async (max_block_length) => {
    const other = await ecuRig({ max_block_length });
    const bytes = randomBytes(Math.min(2_000, 700 * (max_block_length - 2)));
    await other.enterProgramming();
    await other.program(bytes, "2.0.0", max_block_length);
    await other.expectPositive("1101");
    expect(await other.version()).toBe("2.0.0");
    await other.dispose();
  });

  test.each([2, 65_536])("%i is none", async (max_block_length) => {
    await expect(ecuRig({ max_block_length })).rejects.toThrow(RangeError);
  });
});

test("whenever the power goes, an image that is not whole and checked is never started", async () => {
  await rig.enterProgramming();
  const copies = await mkdtemp(join(tmpdir(), "latticeway-cut-"));
  const requests = programmingRequests(image, "2.0.0", BLOCK);
  const versions: string[] = [];
  for (const [index, request] of requests.entries()) {
    await rig.expectPositive(request);
    const folder = join(copies, String(index));
    await cp(rig.folder, folder, { recursive: true });
    const revived = await ecuRig({ max_block_length: BLOCK }, {}, folder);
    versions.push(await revived.version());
    // Whatever was left behind, the ECU can be flashed again once it runs a confirmed image.
    await revived.powerCycle();
    await revived.enterProgramming();
    await revived.program(image, "3.0.0", BLOCK);
    await revived.expectPositive("1101");
    expect(await revived.version()).toBe("3.0.0");
    await revived.dispose();
  }
  await rm(copies, { recursive: true });
  expect(versions.pop()).toBe("2.0.0");
  expect(new Set(versions)).toEqual(new Set(["1.0.0"]));
});

describe("the state on disk", () => {
  test("half a new state beside the old one does no harm", async () => {
    await rig.expectPositive("14ffffff");
    await writeFile(join(rig.folder, "state.json.tmp"), '{"format":1,"act');
    await rig.powerCycle();
    expect(await rig.ask("1901ff")).toEqual(["5901ff010003"]);
    await flashed();
  });

  test("an armed bank whose file was cut is not started", async () => {
    await flashed();
    await truncate(join(rig.folder, "bank-b.bin"), image.length - 1);
    await rig.expectPositive("1101");
    expect(await rig.version()).toBe("1.0.0");
  });

  test.each(["", "{}", "[]", "not JSON", '{"format":2}'])("%j is no state", async (text) => {
    const other = await ecuRig();
    await writeFile(join(other.folder, "state.json"), text);
    await expect(other.powerCycle()).rejects.toMatchObject({ code: "ECU_STATE_CORRUPT" });
    await other.dispose();
  });
});
