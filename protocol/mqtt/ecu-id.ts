import Type from "typebox";

/** Names become parts of paths and topics, so one that is nothing but dots is none. */
export const namePattern = "^(?!\\.+$)[A-Za-z0-9._-]{1,64}$";

export const EcuId = Type.String({
  pattern: namePattern,
  description: "ECU, unique within its vehicle",
  examples: ["ECU_001"],
});
