import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError } from "#config/load.ts";
import { KeyStoreError } from "#crypto/key-store-error.ts";
import { startFailure } from "#server/runtime/start-failure.ts";

const main = join(import.meta.dirname, "../../../server/main.ts");

describe("a start that failed", () => {
  it("is told by code and message where the error has a code", () => {
    const taken = Object.assign(new Error("listen EADDRINUSE: :8443"), { code: "EADDRINUSE" });
    expect(startFailure(taken)).toBe("listen EADDRINUSE: :8443");
    expect(startFailure(new ConfigError("file", ["a: is missing"]))).toBe(
      "CONFIG_INVALID: file:\n  a: is missing",
    );
    const short = new KeyStoreError("KEY_STORE_PASSPHRASE_TOO_SHORT", "it has 3 characters");
    expect(startFailure(short)).toBe("KEY_STORE_PASSPHRASE_TOO_SHORT: it has 3 characters");
  });

  it("is told by every address that was tried", () => {
    const refused = (address: string) =>
      Object.assign(new Error(`connect ECONNREFUSED ${address}`), { code: "ECONNREFUSED" });
    const both = new AggregateError([refused("::1"), refused("127.0.0.1")]);
    expect(startFailure(Object.assign(both, { code: "ECONNREFUSED" }))).toBe(
      "connect ECONNREFUSED ::1\nconnect ECONNREFUSED 127.0.0.1",
    );
  });

  it("is told with the stack where it is nothing that was foreseen", () => {
    const wrongCall = Object.assign(new TypeError("wrong"), { code: "ERR_INVALID_ARG_TYPE" });
    for (const error of [new Error("oops"), new RangeError("oops"), wrongCall])
      expect(startFailure(error)).toBe(error.stack);
    expect(startFailure("thrown text")).toBe("thrown text");
  });

  it("ends the process with that, and nothing else", () => {
    const { status, stderr } = spawnSync(process.execPath, [main], {
      env: { PATH: process.env["PATH"], LATTICEWAY_HTTPS_PORT: "many" },
      encoding: "utf8",
    });
    expect(stderr).toMatch(/^CONFIG_INVALID: .*server\.yaml:\n {2}https\.port: got "many", .*\n$/);
    expect(status).toBe(1);
  });
});
