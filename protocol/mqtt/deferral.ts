import Type, { type Static } from "typebox";

/** A reason to wait. */
export const Deferral = Type.Object({
  code: Type.String({ maxLength: 64 }),
  detail: Type.String({ maxLength: 1024 }),
  retry_after_s: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: "When to ask again at the earliest; absent where waiting does not help",
    }),
  ),
});
export type Deferral = Static<typeof Deferral>;
