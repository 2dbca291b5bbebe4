import { describe, expect, it } from "vitest";
import { createRateLimit } from "#server/http/rate-limit.ts";

function limited(perMinute: number) {
  const clock = { ms: 1000 };
  const limit = createRateLimit(perMinute, () => clock.ms);
  return { clock, take: (address = "192.0.2.1") => limit.take(address) };
}

describe("a rate limit", () => {
  it("lets so many come at once, then one at a time as time goes by", () => {
    const { clock, take } = limited(3);
    expect([take(), take(), take(), take()]).toEqual([undefined, undefined, undefined, 20]);
    clock.ms += 19_000;
    expect(take()).toBe(1);
    clock.ms += 1000;
    expect([take(), take()]).toEqual([undefined, 20]);
    clock.ms += 3_600_000;
    expect([take(), take(), take(), take()]).toEqual([undefined, undefined, undefined, 20]);
  });

  it("counts each address for itself", () => {
    const { take } = limited(1);
    expect([take("192.0.2.1"), take("192.0.2.2"), take("192.0.2.1")]).toEqual([
      undefined,
      undefined,
      60,
    ]);
  });

  it.each([
    ["2001:db8:0:1::1", "2001:db8:0:1:ffff:1:2:3", true],
    ["2001:db8:0:1::1", "2001:db8:0:2::1", false],
    ["fe80::1%eth0", "fe80::2%eth0", true],
    ["::ffff:192.0.2.1", "192.0.2.1", true],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.2", false],
    ["::1", "::2", true],
  ])("%s and %s: the same source is %s", (one, other, isSame) => {
    const { take } = limited(1);
    expect(take(one)).toBeUndefined();
    expect(take(other)).toBe(isSame ? 60 : undefined);
  });

  it("forgets whoever was quiet for longest, when there are too many to remember", () => {
    const { take } = limited(1);
    expect(take("a")).toBeUndefined();
    expect(take("b")).toBeUndefined();
    for (let each = 0; each < 9999; each++) take(`c${each}`);
    expect(take("b")).toBe(60);
    expect(take("a")).toBeUndefined();
  });
});
