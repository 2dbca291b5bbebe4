import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { ecuRig, programmingRequests } from "./ecu-rig.ts";

const script = fileURLToPath(new URL("./flash-until-killed.ts", import.meta.url));

/** Runs the flashing process and kills it at once after so many answered requests. */
async function flashUntil(folder: string, version: string, answered: number): Promise<number> {
  const child = spawn(process.execPath, [script, folder, version], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = new Promise((resolve) => {
    child.once("close", resolve);
  });
  let done = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line !== "done") throw new Error(`the ECU said ${line}`);
    done += 1;
    if (done === answered) child.kill("SIGKILL");
  }
  await closed;
  return done;
}

const steps = programmingRequests(Buffer.alloc(64 * 4_096), "2.0.0", 4_098).length;

test.each([1, 2, 10, 60, steps - 4, steps - 2])(
  "killed after %i steps, the ECU runs a whole image and can be flashed",
  async (answered) => {
    const folder = await mkdtemp(join(tmpdir(), "latticeway-kill-"));
    const done = await flashUntil(folder, "2.0.0", answered);
    expect(done).toBeGreaterThanOrEqual(answered);

    const rig = await ecuRig({}, {}, folder);
    // The kill takes effect some steps later; the last one may be taken and not be told any more.
    expect(await rig.version()).toMatch(done >= steps - 1 ? /^[12]\.0\.0$/ : /^1\.0\.0$/);
    await rig.powerCycle();
    expect(await rig.version()).toBe("1.0.0");
    await rig.dispose();

    expect(await flashUntil(folder, "3.0.0", Number.POSITIVE_INFINITY)).toBe(steps);
    const again = await ecuRig({}, {}, folder);
    expect(await again.version()).toBe("3.0.0");
    await again.dispose();
    await rm(folder, { recursive: true });
  },
);
