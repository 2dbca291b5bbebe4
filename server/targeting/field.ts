import { TLS_PROFILES } from "#crypto/profiles.ts";

/** What a filter's value is, and so how it is written and compared. */
export type FieldType = "text" | "channel" | "profile" | "date" | "version";

/** What filters ask of a vehicle, by name. */
export const fields = {
  model: "text",
  region: "text",
  vin: "text",
  time_zone: "text",
  tag: "text",
  channel: "channel",
  profile: "profile",
  registered: "date",
} as const satisfies Record<string, FieldType>;
export type FieldName = keyof typeof fields;

/** What filters ask of the ECUs of a type. */
export const ecuParts = { version: "version", hardware: "text" } as const satisfies Record<
  string,
  FieldType
>;
export type EcuPart = keyof typeof ecuParts;

/** What may be unknown of a vehicle. */
export const optionalFields = ["model", "region", "time_zone", "profile"] as const;
export type OptionalField = (typeof optionalFields)[number];

const equality = ["==", "!="] as const;
const order = ["<", "<=", ">", ">="] as const;
const glob = ["~", "!~"] as const;
const lists = ["in", "not in"] as const;
export type Operator = (typeof equality | typeof order | typeof glob | typeof lists)[number];

/** How each type can be compared. */
export const operators: Record<FieldType, readonly Operator[]> = {
  text: [...equality, ...glob, ...lists],
  channel: [...equality, ...lists],
  profile: [...equality, ...order, ...lists],
  date: order,
  version: [...equality, ...order, ...lists],
};

/** The numbers of the profiles of a class, e.g. `hybrid`; a class is a range of numbers. */
export const profileClasses: ReadonlyMap<string, { first: number; last: number }> = new Map(
  [...Map.groupBy(TLS_PROFILES, (profile) => profile.class)].map(([name, profiles]) => {
    const ids = profiles.map(({ id }) => id);
    return [name, { first: Math.min(...ids), last: Math.max(...ids) }];
  }),
);

export const LAST_PROFILE = TLS_PROFILES.length - 1;
