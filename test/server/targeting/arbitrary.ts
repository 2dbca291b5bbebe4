import fc from "fast-check";
import {
  ecuParts,
  fields,
  operators,
  optionalFields,
  profileClasses,
  type FieldType,
} from "#server/targeting/field.ts";
import {
  join,
  type Comparison,
  type Predicate,
  type Subject,
} from "#server/targeting/predicate.ts";
import { typeOf } from "#server/targeting/print.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import { inventoryOf } from "#server/vehicles/inventory.ts";

const names = fc.constantFrom("A", "AB", "a*", "?b", "B c", "*", 'q"\\', "EU");
const types = fc.constantFrom("brake", "door");
const versions = fc.constantFrom("1.0.0", "1.0.0-rc.1", "2.0.0+1", "2.0.0", "10.0.0");
const dates = fc.constantFrom(
  "2026-01-01",
  "2026-01-01T12:00:00Z",
  "2026-02-03T00:00:00.001+02:00",
);

const values: Record<FieldType, fc.Arbitrary<string>> = {
  text: names,
  channel: fc.constantFrom("stable", "beta"),
  profile: fc.constantFrom("0", "2", "3", "12", ...profileClasses.keys()),
  date: dates,
  version: versions,
};

const keysOf = <K extends string>(record: Record<K, unknown>) => Object.keys(record) as K[];

const subjects: fc.Arbitrary<Subject> = fc.oneof(
  fc.constantFrom(...keysOf(fields)).map((field) => ({ of: "vehicle" as const, field })),
  fc.record({
    of: fc.constant("ecu" as const),
    ecu_type: types,
    part: fc.constantFrom(...keysOf(ecuParts)),
  }),
);

const comparisons: fc.Arbitrary<Comparison> = subjects.chain((subject) => {
  const type = typeOf(subject);
  return fc.constantFrom(...operators[type]).chain((operator) => {
    const maxLength = operator.endsWith("in") ? 3 : 1;
    return fc
      .array(values[type], { minLength: 1, maxLength })
      .map((each) => ({ kind: "compare" as const, subject, operator, values: each }));
  });
});

const leaf: fc.Arbitrary<Predicate> = fc.oneof(
  { weight: 6, arbitrary: comparisons },
  { weight: 1, arbitrary: fc.constant({ kind: "all" as const }) },
  { weight: 1, arbitrary: types.map((ecu_type) => ({ kind: "ecu" as const, ecu_type })) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("known" as const),
      field: fc.constantFrom(...optionalFields),
      known: fc.boolean(),
    }),
  },
);

/** Any predicate as the parser makes them. */
export const predicates: fc.Arbitrary<Predicate> = fc.letrec<{ any: Predicate }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc
      .record({ kind: fc.constantFrom("and", "or"), a: tie("any"), b: tie("any") })
      .map(({ kind, a, b }) => join(kind, [a, b])),
    tie("any").map((term) => ({ kind: "not" as const, term })),
  ),
})).any;

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });

const inventories = fc
  .array(fc.record({ ecu_type: types, hardware_version: names, software_version: versions }), {
    maxLength: 3,
  })
  .map((ecus) =>
    inventoryOf(ecus.map((each, i) => ({ ...each, ecu_id: `ECU_${i}`, zone_id: "ZG-FRONT" }))),
  );

/** Vehicles that such predicates can tell apart. */
export const targetVehicles: fc.Arbitrary<TargetVehicle> = fc.record({
  vin: fc.constantFrom("A", "AB", "EU", "abc"),
  model: maybe(names),
  region: maybe(names),
  channel: fc.constantFrom("stable", "beta"),
  tags: fc.uniqueArray(names, { maxLength: 3 }),
  profile: maybe(fc.integer({ min: 0, max: 12 })),
  time_zone: maybe(names),
  registered_at: dates.map((text) => new Date(text)),
  inventory: maybe(inventories),
});
