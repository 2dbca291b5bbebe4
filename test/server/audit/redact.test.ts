import { describe, expect, it } from "vitest";
import { redacted } from "#server/audit/redact.ts";

describe("what goes into the audit log of a request", () => {
  it("is what was sent, without secrets", () => {
    expect(
      redacted({
        name: "alice",
        password: "p",
        new_password: "p",
        nested: [{ refresh_token: "t", clientSecret: "s", signing_key: "k", key: "k" }],
        token_id: "t-1",
        ecu_ids: ["ECU_001"],
        count: 3,
        none: null,
      }),
    ).toEqual({
      name: "alice",
      password: "[redacted]",
      new_password: "[redacted]",
      nested: [
        {
          refresh_token: "[redacted]",
          clientSecret: "[redacted]",
          signing_key: "[redacted]",
          key: "[redacted]",
        },
      ],
      token_id: "t-1",
      ecu_ids: ["ECU_001"],
      count: 3,
      none: null,
    });
  });

  it("is bounded: texts, lists, depth, and all of it", () => {
    expect(redacted("x".repeat(600))).toBe(`${"x".repeat(512)}…`);
    expect(redacted(Array.from({ length: 102 }, (_, at) => at))).toHaveLength(101);
    let deep: unknown = "end";
    for (let level = 0; level < 100; level++) deep = [deep];
    expect(JSON.stringify(redacted(deep))).toBe('[[[[[[[["[…]"]]]]]]]]');
    const large = Array.from({ length: 100 }, () => "x".repeat(400));
    expect(redacted(large)).toEqual({ left_out: "40301 characters" });
    expect(redacted(undefined)).toBeUndefined();
  });

  it("is text that the database takes, also where it is cut", () => {
    expect(redacted(`${"x".repeat(511)}\u{1F511}`)).toBe(`${"x".repeat(511)}\uFFFD…`);
    expect(redacted({ "a\0": "b\0" })).toEqual({ "a\uFFFD": "b\uFFFD" });
  });
});
