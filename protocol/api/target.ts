import Type, { type Static } from "typebox";
import { Channel, VehicleId } from "./identifier.ts";
import { MAX_TAGS, Tag } from "./vehicle.ts";

/** Text in the filter language, docs/filters.md; what is wrong with it is answered with its place. */
const FilterText = Type.String({
  maxLength: 4096,
  description: "Which vehicles, in the filter language",
  examples: ['model == "Lattice One" and not tag == "test"'],
});

const Count = Type.Integer({ minimum: 0 });

export const PreviewRequest = Type.Object(
  {
    filter: FilterText,
    percentage: Type.Number({ default: 100, exclusiveMinimum: 0, maximum: 100 }),
  },
  {
    additionalProperties: false,
    examples: [{ filter: 'region == "EU" and model == "Lattice One"' }],
  },
);

/** How many vehicles have a value; null: it is not known. */
const Counts = (what: string) =>
  Type.Array(Type.Object({ value: Type.Union([Type.String(), Type.Null()]), count: Count }), {
    description: `${what}, the largest first, 100 at the most`,
  });

export const Preview = Type.Object({
  filter: Type.String({ description: "As it is understood" }),
  matched: Count,
  selected: Type.Integer({
    minimum: 0,
    description: "By the percentage: about so many, as each campaign draws its own",
  }),
  by_model: Counts("By model"),
  by_region: Counts("By region"),
  by_channel: Counts("By channel"),
  sample: Type.Array(VehicleId, { description: "Some of those that match" }),
});
export type Preview = Static<typeof Preview>;

/** Vehicles by a filter or by name. */
export const TagRequest = Type.Object(
  {
    filter: Type.Optional(FilterText),
    vins: Type.Optional(
      Type.Array(VehicleId, { minItems: 1, maxItems: 10_000, uniqueItems: true }),
    ),
    add: Type.Array(Tag, { default: [], maxItems: MAX_TAGS, uniqueItems: true }),
    remove: Type.Array(Tag, { default: [], maxItems: MAX_TAGS, uniqueItems: true }),
  },
  { additionalProperties: false, examples: [{ vins: ["VMG-001", "VMG-002"], add: ["pilot"] }] },
);
export type TagRequest = Static<typeof TagRequest>;

export const TagAnswer = Type.Object({
  matched: Count,
  changed: Count,
  full: Type.Integer({
    minimum: 0,
    description: `Would have had more than ${MAX_TAGS} tags, and keep those that they have`,
  }),
});
export type TagAnswer = Static<typeof TagAnswer>;

export const VehicleQuery = Type.Object({
  model: Type.Optional(Type.String({ maxLength: 64 })),
  region: Type.Optional(Type.String({ maxLength: 64 })),
  channel: Type.Optional(Channel),
  tag: Type.Optional(Tag),
  profile: Type.Optional(Type.Integer({ minimum: 0, maximum: 12 })),
  filter: Type.Optional(FilterText),
});
