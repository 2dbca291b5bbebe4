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
    expect(redacted("x".repeat(5000))).toBe(`${"x".repeat(4096)}…`);
    expect(redacted(Array.from({ length: 102 }, (_, at) => at))).toHaveLength(101);
    let deep: unknown = "end";
    for (let level = 0; level < 100; level++) deep = [deep];
    expect(JSON.stringify(redacted(deep))).toBe('[[[[[[[["[…]"]]]]]]]]');
    const large = Array.from({ length: 100 }, () => "x".repeat(400));
    expect(redacted(large)).toEqual([...Array(10).fill(`${"x".repeat(64)}…`), "[90 more]"]);
    const wide = Object.fromEntries(large.map((each, at) => [`${at}${each}`, at]));
    expect(redacted(Object.fromEntries(large.map((_, at) => [at, wide])))).toEqual({
      left_out: expect.stringMatching(/^\d+ characters$/),
    });
    expect(redacted(Buffer.alloc(1000))).toEqual({ bytes: 1000 });
    expect(redacted(undefined)).toBeUndefined();
  });

  it("has what was asked for, however much is put around it", () => {
    const padding = Array.from({ length: 100 }, () => "x".repeat(512));
    const params = { padding, force: true, ecu_ids: ["ECU_001"] };
    expect(redacted({ command: "ota_update", params })).toEqual({
      command: "ota_update",
      params: expect.objectContaining({ force: true, ecu_ids: ["ECU_001"] }),
    });
  });

  it("has of a URL no more than whose it is", () => {
    expect(
      redacted({
        url: "https://hooks.example/services/T0/B0?key=x",
        other_url: "https://a.example",
      }),
    ).toEqual({ url: "https://hooks.example/[redacted]", other_url: "https://a.example" });
    expect(redacted({ url: "no URL" })).toEqual({ url: "no URL" });
  });

  it("is text that the database takes, also where it is cut", () => {
    expect(redacted(`${"x".repeat(4095)}\u{1F511}`)).toBe(`${"x".repeat(4095)}\uFFFD…`);
    expect(redacted({ "a\0": "b\0" })).toEqual({ "a\uFFFD": "b\uFFFD" });
  });
});
