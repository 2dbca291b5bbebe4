import * as fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { EcuDefinition } from "#config/ecu-definition.ts";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { findService, serviceTable } from "#protocol/uds/service.ts";
import { ecuRig, hexOf, type EcuRig } from "./ecu-rig.ts";
import { testDefinition } from "./test-definition.ts";

const { definitions } = loadVehicleConfig({});

/** Every type that is configured, one with everything, and one without a definition. */
const types: [string, EcuDefinition | undefined][] = [
  ...Object.entries(definitions),
  ["all-rounder", testDefinition],
  ["plain", undefined],
];

/** What has a meaning somewhere: services with their sub-functions, identifiers, whole requests. */
const sid = fc.constantFrom(...serviceTable.map((service) => service.sid), 0x00, 0x7f, 0xba);
const identifier = fc.constantFrom(
  ...[0x0200, 0x0201, 0x0202, 0x0203, 0x0204, 0x0205, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304],
  ...[0xf186, 0xf190, 0xf199, 0xf201, 0xf202, 0xf210, 0xf300, 0x0400, 0x0401, 0xff00, 0xffff],
);
const range = fc.constantFrom("12100004", "14200000000a", "2280000010", "144000000010", "ff", "00");
const bytes = (maxLength: number) => fc.uint8Array({ maxLength });

const anyRequest = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 4_095 }),
  fc.tuple(sid, bytes(40)).map(([id, rest]) => Uint8Array.of(id, ...rest)),
  sid
    .chain((id) => {
      const known = [...(findService(id)?.subFunctions?.keys() ?? [0])];
      return fc.tuple(fc.constant(id), fc.constantFrom(...known), fc.boolean(), bytes(12));
    })
    .map(([id, sub, quiet, rest]) => Uint8Array.of(id, sub | (quiet ? 0x80 : 0), ...rest)),
  fc
    .tuple(sid, fc.array(identifier, { maxLength: 6 }), bytes(4))
    .map(([id, ids, rest]) =>
      Uint8Array.of(id, ...ids.flatMap((each) => [each >> 8, each & 0xff]), ...rest),
    ),
  fc
    .tuple(fc.constantFrom("23", "3d", "3500", "3400", "2c02f300"), range, bytes(4))
    .map(([head, where, rest]) => Buffer.concat([Buffer.from(head + where, "hex"), rest])),
  fc
    .constantFrom(
      ...["1003", "1002", "1001", "2701", "2703", "3101ff00", "31010301", "31010400", "3601aa"],
      ...["2a0301", "2a030102", "2a04", "2c01f30002000101", "2c01f21002000101", "2c03", "280303"],
      ...["2f02020300c8", "2f020200", "2f03020328", "8502", "37", "3601", "3602", "3e80", "1181"],
    )
    .map((hex) => Uint8Array.from(Buffer.from(hex, "hex"))),
);

/** NRCs that are not for everybody (ISO 14229-1, functional addressing). */
const silent = ["11", "12", "31", "7e", "7f"];

/** Exactly one final answer, of the asked service, or none where the rules have it so. */
function isLawful(request: Uint8Array, functional: boolean, answers: readonly string[]): boolean {
  const [answer, ...more] = answers;
  const [id = 0, sub = 0] = request;
  const isQuiet = findService(id)?.subFunctions !== undefined && sub >= 0x80;
  if (more.length > 0) return false;
  if (answer === undefined) return functional || isQuiet;
  if (!answer.startsWith("7f")) {
    return !isQuiet && answer.slice(0, 2) === hexOf(Uint8Array.of((id + 0x40) & 0xff));
  }
  const isOwn = answer.length === 6 && answer.slice(2, 4) === hexOf(Uint8Array.of(id));
  return isOwn && !(functional && silent.includes(answer.slice(4)));
}

let rig: EcuRig;

afterEach(() => rig.dispose());

async function enter(state: string): Promise<void> {
  if (state === "extended") await rig.expectPositive("1003");
  if (state === "programming") await rig.enterProgramming();
  if (state === "workshop") {
    await rig.expectPositive("1003");
    await rig.unlock(3);
  }
}

describe.each(types)("any request to a %s", (ecu_type, definition) => {
  test.each(["default", "extended", "programming", "workshop"])(
    "in the state %s has its answer by the rules",
    async (state) => {
      // Routines that take their time would wait for the clock, which stands still here.
      const quick = definition && {
        ...definition,
        rids: definition.rids.map((routine) => ({ ...routine, background: true })),
      };
      rig = await ecuRig({ ecu_type, definition: quick, max_block_length: 64 });
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(anyRequest, fc.boolean()), { minLength: 1, maxLength: 5 }),
          async (requests) => {
            await rig.expectPositive("1001");
            await rig.expectPositive("14ffffff");
            // Locked after too many wrong keys, it is tried as it is.
            await enter(state).catch(() => {});
            for (const [request, functional] of requests) {
              const answers = [...(await rig.ask(request, { functional }))];
              if (!isLawful(request, functional, answers)) {
                throw new Error(`${hexOf(request)} was answered with ${answers.join(", ")}`);
              }
            }
            // Never stuck: the next request is answered, and at once.
            expect(await rig.ask("3e00")).toEqual(["7e00"]);
          },
        ),
        { numRuns: 60 },
      );
      expect(await rig.version()).toBe("1.0.0");
    },
  );
});
