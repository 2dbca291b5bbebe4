import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

/** As an operator runs it with hundreds of vehicles; here with as many as a stop rule takes. */
it("a campaign with a bad release stops by itself, and its vehicles agree", async () => {
  const program = fileURLToPath(new URL("../e2e/fleet-campaign.ts", import.meta.url));
  const child = spawn(process.execPath, [program, "--count", "6", "--minutes", "3"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const told = Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await once(child, "exit")) as [number | null];
  const [said, failed] = await told;
  expect([code, failed]).toEqual([0, expect.not.stringContaining("Error")]);
  expect(said).toContain("Everything held.");
}, 200_000);
