import { createHash } from "node:crypto";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createBlobChecks, fileState } from "#server/blobs/checks.ts";
import { testFolder } from "#test/helpers/folder.ts";

const bytes = Buffer.from("compressed");
const sha256 = createHash("sha256").update(bytes).digest("hex");

/** Checks of one blob in one file, and the state that the file is in. */
function oneBlob() {
  const path = join(testFolder(), "blob");
  writeFileSync(path, bytes);
  return {
    checks: createBlobChecks(() => path),
    state: fileState(statSync(path, { bigint: true })),
  };
}

it("finds no file good but the one that it has read", async () => {
  const { checks, state } = oneBlob();
  await expect(checks.ensureGood(sha256, `${state}0`)).rejects.toMatchObject({
    code: "BLOB_CORRUPT",
  });
  await expect(checks.ensureGood(sha256, state)).resolves.toBeUndefined();
});

it("forgets rather than grow without end, and checks again what it has forgotten", async () => {
  const { checks, state } = oneBlob();
  await checks.ensureGood(sha256, state);
  for (let other = 0; other < 10_000; other++) checks.remember(`other-${other}`, state);
  expect(checks.isGood(sha256, state)).toBe(false);
  await checks.ensureGood(sha256, state);
  expect(checks.isGood(sha256, state)).toBe(true);
});
