import Type from "typebox";

/** As the database holds ids: text of any other form is an error there, not an unknown id. */
export const Uuid = Type.String({
  pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
  description: "UUID, lower-case hex",
  examples: ["019c2f4e-7d3a-7b10-8c55-5f2d6c1b9e01"],
});
