import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  encodeBankExpectation,
  encodeRequestDownload,
  METADATA_ADDRESS,
  startRoutine,
} from "#protocol/uds/programming.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { programmingRequests, transferRequests } from "#test/vmg-sim/ecu/ecu-rig.ts";
import { flashGate, type SignedImage } from "#vmg-sim/zone/flash-gate.ts";

const ECU = 0x1001;
const BLOCK = 12;
/** More blocks than their counter can count. */
const image = Buffer.alloc(3_000, "the image that the director has signed, ");
const other = Buffer.from(image.map((byte, at) => (at === 1_500 ? byte ^ 1 : byte)));
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
const signed: SignedImage = {
  length: image.length,
  hashes: { sha256: sha256(image).toString("hex").toUpperCase() },
};

const ERASE = startRoutine(Rid.eraseMemory);
const EXIT = Uint8Array.of(0x37);
const download = (length: number, address = 0) =>
  encodeRequestDownload({ dataFormat: 0, address, length });
const BEGIN = download(image.length);
const hex = (text: string) => Buffer.from(text, "hex");

/** What becomes of the requests, one after the other: `passed`, or the answer in the ECU's place. */
function outcomes(requests: Uint8Array[], assigned: SignedImage | undefined = signed): string[] {
  const gate = flashGate((ecu) => (ecu === ECU ? assigned : undefined));
  return requests.map((request) => {
    const answer = gate.refusalOf(ECU, request);
    return answer === undefined ? "passed" : Buffer.from(answer).toString("hex");
  });
}

const last = (requests: Uint8Array[], assigned?: SignedImage) =>
  outcomes(requests, assigned).at(-1);
const blocks = (bytes: Uint8Array) => transferRequests(bytes, BLOCK);
const [first = EXIT, second = EXIT] = blocks(image);

describe("a zonal gateway lets pass", () => {
  test("the image that was signed, and all that goes with it", () => {
    const requests = programmingRequests(image, "2.0.0", BLOCK);
    expect(new Set(outcomes(requests))).toEqual(new Set(["passed"]));
  });

  test("a block that is repeated for want of an answer, hashed once", () => {
    const requests = [BEGIN, ...blocks(image).flatMap((block) => [block, block]), EXIT, EXIT];
    expect(new Set(outcomes(requests))).toEqual(new Set(["passed"]));
  });

  test("the image from its start, once the ECU has given up the one before", () => {
    for (const end of [ERASE, hex("1002"), hex("1101")]) {
      const requests = [BEGIN, first, end, BEGIN, ...blocks(image), EXIT];
      expect(new Set(outcomes(requests))).toEqual(new Set(["passed"]));
    }
    expect(new Set(outcomes([BEGIN, BEGIN, ...blocks(image), EXIT]))).toEqual(new Set(["passed"]));
  });

  test("metadata of any content and length", () => {
    const requests = [download(other.length, METADATA_ADDRESS), ...blocks(other), EXIT];
    expect(new Set(outcomes(requests))).toEqual(new Set(["passed"]));
    expect(new Set(outcomes(requests, { length: 1, hashes: {} }))).toEqual(new Set(["passed"]));
  });
});

describe("a zonal gateway refuses", () => {
  test("the end of another image, however often it is asked for", () => {
    const ends = outcomes([BEGIN, ...blocks(other), EXIT, EXIT]).slice(-2);
    expect(ends).toEqual(["7f3772", "7f3772"]);
  });

  test("the end of any image when no SHA-256 was signed", () => {
    const unhashed = { length: image.length, hashes: { sha512: "00" } };
    expect(last([BEGIN, ...blocks(image), EXIT], unhashed)).toBe("7f3772");
  });

  test("the end before all of it has passed", () => {
    expect(last([BEGIN, ...blocks(image).slice(0, -1), EXIT])).toBe("7f3724");
  });

  test("a block out of turn, and another under the counter of the last one", () => {
    expect(last([BEGIN, second])).toBe("7f3673");
    expect(last([BEGIN, first, second, first])).toBe("7f3673");
    const changed = Buffer.from(first);
    changed[2] = 0xff;
    expect(last([BEGIN, first, changed])).toBe("7f3673");
  });

  test("more bytes than were signed", () => {
    const surplus = blocks(Buffer.concat([image, Buffer.alloc(1)]));
    expect(last([BEGIN, ...surplus])).toBe("7f3671");
  });

  test("a second beginning in the middle, which the ECU would not take for one", () => {
    expect(last([BEGIN, first, BEGIN])).toBe("7f3422");
    expect(last([BEGIN, first, hex("3101ff0000"), BEGIN])).toBe("7f3422");
    expect(last([BEGIN, first, hex("3103ff00"), BEGIN])).toBe("7f3422");
  });

  test("a check of the memory against another hash, or one that it can't read", () => {
    const check = (bytes: Uint8Array) =>
      startRoutine(
        Rid.checkMemory,
        encodeBankExpectation({ sha256: sha256(bytes), version: "2.0.0" }),
      );
    expect(last([check(image)])).toBe("passed");
    expect(last([check(other)])).toBe("710102020139");
    const suppressed = check(other);
    suppressed[1] = 0x81;
    expect(last([suppressed])).toBe("710102020139");
    expect(last([check(image).subarray(0, -1)])).toBe("7f3122");
    expect(outcomes([hex("31030202")])).toEqual(["passed"]);
  });

  test("whatever would write, when nothing is assigned", () => {
    const gate = flashGate(() => undefined);
    const refused = [ERASE, BEGIN, hex("31010202")].map((request) =>
      Buffer.from(gate.refusalOf(ECU, request) ?? []).toString("hex"),
    );
    expect(refused).toEqual(["7f3122", "7f3422", "7f3122"]);
  });
});

test("a zonal gateway tells its ECUs apart, not those who ask", () => {
  const gate = flashGate(() => signed);
  expect(gate.refusalOf(ECU, BEGIN)).toBeUndefined();
  expect(gate.refusalOf(ECU, first)).toBeUndefined();
  expect(gate.refusalOf(ECU + 1, BEGIN)).toBeUndefined();
  for (const block of blocks(image)) expect(gate.refusalOf(ECU + 1, block)).toBeUndefined();
  expect(gate.refusalOf(ECU + 1, EXIT)).toBeUndefined();
  expect(gate.refusalOf(ECU, EXIT)).toBeDefined();
});
