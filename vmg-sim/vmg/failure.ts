import { Type, type Static } from "typebox";

/** What went wrong, as it is kept and as the gateway hears of it. */
export const Failure = Type.Object({
  code: Type.String({ maxLength: 64 }),
  message: Type.String({ maxLength: 1024 }),
});
export type Failure = Static<typeof Failure>;

/** Code and message of anything that was thrown. */
export function failureOf(error: unknown): Failure {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return {
    code: (typeof code === "string" ? code : "VMG_FAILED").slice(0, 64),
    message: String(message ?? error).slice(0, 1024),
  };
}
