import Type from "typebox";

/** Where the log goes to is the same for all: standard output. */
export const LogConfig = Type.Object(
  {
    level: Type.Enum(["fatal", "error", "warn", "info", "debug", "trace"], {
      description: "fatal, error, warn, info, debug or trace",
    }),
    format: Type.Enum(["auto", "json", "text"], { description: "auto, json or text" }),
  },
  { additionalProperties: false },
);
