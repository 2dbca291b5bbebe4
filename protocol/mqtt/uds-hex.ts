import Type from "typebox";

/** A UDS message, or a part of one. */
export const UdsHex = Type.String({
  pattern: "^([0-9A-F]{2})*$",
  maxLength: 2 * 65_535,
  description: "whole bytes in upper-case hex",
});
