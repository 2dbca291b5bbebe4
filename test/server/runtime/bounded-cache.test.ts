import { expect, it } from "vitest";
import { boundedCache } from "#server/runtime/bounded-cache.ts";

it("a bounded cache keeps what was asked for last", () => {
  const cache = boundedCache<string, { of: string }>(2);
  const put = (key: string) => cache.set(key, { of: key });
  put("a");
  put("b");
  expect(cache.get("a")).toEqual({ of: "a" });
  put("c");
  expect(["a", "b", "c"].map((key) => cache.get(key)?.of)).toEqual(["a", undefined, "c"]);
  put("c");
  expect(cache.get("a")).toBeDefined();
  cache.clear();
  expect(cache.get("a")).toBeUndefined();
});
