import { describe, expect, it } from "vitest";
import { maskSecrets } from "#server/runtime/secrets.ts";

describe("a log line", () => {
  it("shows no secret, at the top, nested or in a list", () => {
    const fields = {
      operator: "ann",
      token: "t0p",
      request: { headers: { authorization: "Bearer x", cookie: "c", host: "h" }, url: "/" },
      tried: [{ password: "p" }, { password: "q", user: "u" }, "plain"],
    };
    const masked = maskSecrets(fields);
    expect(masked).toEqual({
      operator: "ann",
      token: "[Redacted]",
      request: {
        headers: { authorization: "[Redacted]", cookie: "[Redacted]", host: "h" },
        url: "/",
      },
      tried: [{ password: "[Redacted]" }, { password: "[Redacted]", user: "u" }, "plain"],
    });
    expect(fields.token).toBe("t0p");
    expect(fields.request.headers.authorization).toBe("Bearer x");
  });

  it("without secrets is left as it is", () => {
    const fields = { vehicle: "VMG-001", ms: 3, err: new Error("x"), list: [1, { a: null }] };
    expect(maskSecrets(fields)).toBe(fields);
  });

  it("that is nested without end, or into itself, is cut rather than followed", () => {
    const loop: Record<string, unknown> = { vehicle: "VMG-001" };
    loop["self"] = loop;
    expect(JSON.stringify(maskSecrets(loop))).toMatch(/^\{"vehicle":"VMG-001".*\[Redacted\]/);
  });
});
