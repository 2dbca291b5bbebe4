import { parse, type SemVer } from "semver";
import { globTest } from "./glob.ts";
import { profileClasses, type EcuPart, type FieldName, type Operator } from "./field.ts";
import type { Comparison, Predicate } from "./predicate.ts";
import type { TargetVehicle } from "./vehicle.ts";

/** What a predicate says of a vehicle. */
export type Test<V extends TargetVehicle = TargetVehicle> = (vehicle: V) => boolean;

/**
 * A predicate as a function. What is not known of a vehicle fits no comparison, not even `!=`;
 * `not` turns round whatever it stands before. Of several ECUs of a type one has to fit; of tags
 * one has to, too, but for `!=`, `!~` and `not in`, which no tag may contradict.
 * @param decided what is already known of parts of the predicate, in place of looking at the vehicle
 */
export function compile<V extends TargetVehicle>(
  predicate: Predicate,
  decided: (part: Predicate) => Test<V> | undefined = () => undefined,
): Test<V> {
  const known = decided(predicate);
  if (known) return known;
  switch (predicate.kind) {
    case "all":
      return () => true;
    case "and": {
      const tests = predicate.terms.map((term) => compile(term, decided));
      return (vehicle) => tests.every((test) => test(vehicle));
    }
    case "or": {
      const tests = predicate.terms.map((term) => compile(term, decided));
      return (vehicle) => tests.some((test) => test(vehicle));
    }
    case "not": {
      const test = compile(predicate.term, decided);
      return (vehicle) => !test(vehicle);
    }
    case "known": {
      const { field, known: wanted } = predicate;
      return (vehicle) => (vehicle[field] !== null) === wanted;
    }
    case "ecu": {
      const { ecu_type } = predicate;
      return ({ inventory }) => inventory?.ecus.some((ecu) => ecu.ecu_type === ecu_type) ?? false;
    }
    case "compare":
      return compileComparison(predicate);
  }
}

function compileComparison({ subject, operator, values }: Comparison): Test {
  if (subject.of === "ecu") return compileEcu(subject.ecu_type, subject.part, operator, values);
  const { field } = subject;
  switch (field) {
    case "tag":
      return compileTag(operator, values);
    case "profile":
      return compileProfile(operator, values);
    case "registered": {
      const fits = compareTo(operator, values.map(Date.parse), (a: number, b) => a - b);
      return ({ registered_at }) => fits(registered_at.getTime());
    }
    case "model":
    case "region":
    case "vin":
    case "time_zone":
    case "channel":
      return compileText(field, operator, values);
  }
}

function compileText(
  field: Exclude<FieldName, "tag" | "profile" | "registered">,
  operator: Operator,
  values: readonly string[],
): Test {
  const fits = textTest(operator, values);
  return (vehicle) => {
    const text = vehicle[field];
    return text !== null && fits(text);
  };
}

const opposites: Partial<Record<Operator, Operator>> = { "!=": "==", "!~": "~", "not in": "in" };

function compileTag(operator: Operator, values: readonly string[]): Test {
  const opposite = opposites[operator];
  const fits = textTest(opposite ?? operator, values);
  return ({ tags }) => tags.some(fits) === (opposite === undefined);
}

function textTest(operator: Operator, values: readonly string[]): (text: string) => boolean {
  const opposite = opposites[operator];
  if (opposite) {
    const fits = textTest(opposite, values);
    return (text) => !fits(text);
  }
  if (operator === "~") {
    const [pattern = ""] = values;
    return globTest(pattern);
  }
  const all = new Set(values);
  return (text) => all.has(text);
}

/** A class stands for all its numbers: `>= hybrid` from its first on, `> hybrid` behind its last. */
function compileProfile(operator: Operator, values: readonly string[]): Test {
  const ranges = values.map(
    (value) => profileClasses.get(value) ?? { first: Number(value), last: Number(value) },
  );
  const fits = compareTo(operator, ranges, (profile: number, { first, last }) =>
    profile < first ? -1 : profile > last ? 1 : 0,
  );
  return ({ profile }) => profile !== null && fits(profile);
}

function compileEcu(
  ecuType: string,
  part: EcuPart,
  operator: Operator,
  values: readonly string[],
): Test {
  const fits = part === "version" ? versionTest(operator, values) : textTest(operator, values);
  const column = part === "version" ? "software_version" : "hardware_version";
  return ({ inventory }) =>
    inventory?.ecus.some((ecu) => ecu.ecu_type === ecuType && fits(ecu[column])) ?? false;
}

/** By precedence (SemVer §11), which builds of one version do not differ in. */
function versionTest(operator: Operator, values: readonly string[]): (version: string) => boolean {
  const wanted = values.map((value) => parse(value)).filter((version) => version !== null);
  const fits = compareTo(operator, wanted, (a: SemVer, b) => a.compare(b));
  return (text) => {
    const version = readVersion(text);
    return version !== null && fits(version);
  };
}

/** A vehicle says how many ECUs it has, and every filter looks at them: reading is the dear part. */
const read = new Map<string, SemVer | null>();
const MOST_READ = 10_000;

function readVersion(text: string): SemVer | null {
  const before = read.get(text);
  if (before !== undefined) return before;
  const version = parse(text);
  // Versions come from vehicles.
  if (read.size >= MOST_READ) read.clear();
  read.set(text, version);
  return version;
}

/** @param order negative, 0 or positive, as for sorting */
function compareTo<A, B>(
  operator: Operator,
  values: readonly B[],
  order: (a: A, b: B) => number,
): (a: A) => boolean {
  const holds = (fits: (sign: number) => boolean) => (a: A) =>
    values.some((value) => fits(order(a, value)));
  const equal = holds((sign) => sign === 0);
  switch (operator) {
    case "==":
    case "in":
      return equal;
    case "!=":
    case "not in":
      return (a) => !equal(a);
    case "<":
      return holds((sign) => sign < 0);
    case "<=":
      return holds((sign) => sign <= 0);
    case ">":
      return holds((sign) => sign > 0);
    case ">=":
      return holds((sign) => sign >= 0);
    case "~":
    case "!~":
      throw new RangeError(`${operator} is for text`);
  }
}
