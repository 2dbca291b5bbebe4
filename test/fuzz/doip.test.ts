import * as fc from "fast-check";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FIRST, SECOND, vehicleRig, type VehicleRig } from "#test/vmg-sim/zone/vehicle-rig.ts";

let rig: VehicleRig;

beforeAll(async () => {
  rig = await vehicleRig();
});

afterAll(() => rig.dispose());

/** Sends bytes in pieces, then ends; resolves when the other side has closed too. */
function sendAndLeave(segments: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: rig.zone.port });
    // The zonal gateway may close first, in the middle of what is being sent.
    socket.on("error", () => {});
    socket.once("close", () => resolve());
    socket.resume();
    for (const segment of segments) socket.write(segment);
    socket.end();
  });
}

const activation = Buffer.from("02fd0005000000070e850000000000", "hex");

const bytes = fc.uint8Array({ maxLength: 200 });

/** Frames that are nearly right: any type, version and length, with addresses that exist. */
const frame = fc
  .record({
    version: fc.constantFrom(1, 2, 3, 4, 255),
    inverse: fc.constantFrom(0, 1),
    type: fc.oneof(
      fc.constantFrom(0, 1, 4, 5, 6, 7, 8, 0x4001, 0x8001, 0x8002, 0x8003),
      fc.nat(0xffff),
    ),
    source: fc.constantFrom(0x0e85, 0x0e80, FIRST),
    target: fc.constantFrom(FIRST, SECOND, 0xe400, 0x1000, 0x1234),
    data: bytes,
    lie: fc.oneof(
      fc.constant(0),
      fc.integer({ min: -5, max: 5 }),
      fc.constantFrom(0x7fff_ffff, 0x1_0000),
    ),
  })
  .map(({ version, inverse, type, source, target, data, lie }) => {
    const header = Buffer.alloc(12);
    header.writeUInt8(version, 0);
    header.writeUInt8((version ^ 0xff) & (0xff - inverse), 1);
    header.writeUInt16BE(type, 2);
    header.writeUInt32BE(Math.max(0, data.length + 4 + lie), 4);
    header.writeUInt16BE(source, 8);
    header.writeUInt16BE(target, 10);
    return Buffer.concat([header, data]);
  });

/** Both ECUs answer; chance may have restarted one, so it gets some tries. */
async function alive(tries = 20): Promise<boolean> {
  try {
    const answers = [await rig.ask(FIRST, "22f190"), await rig.ask(SECOND, "22f190")];
    return answers.every((answer) => answer.startsWith("62f190"));
  } catch (error) {
    if (tries === 0) throw error;
    return alive(tries - 1);
  }
}

test("any bytes to a zonal gateway leave it and its ECUs at work", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(bytes, { maxLength: 5 }), async (segments) => {
      await sendAndLeave(segments);
      expect(await alive()).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test("nearly right frames after an activation leave it and its ECUs at work", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 10 }), async (frames) => {
      await sendAndLeave([activation, ...frames]);
      expect(await alive()).toBe(true);
    }),
    { numRuns: 150 },
  );
});

test("a frame cut at any place leaves it and its ECUs at work", async () => {
  const whole = Buffer.concat([
    activation,
    Buffer.from("02fd8001000000070e85100122f190", "hex"),
    Buffer.from("02fd8001000000060e85e4003e00", "hex"),
  ]);
  for (let length = 0; length <= whole.length; length++) {
    await sendAndLeave([whole.subarray(0, length)]);
  }
  expect(await alive()).toBe(true);
});
