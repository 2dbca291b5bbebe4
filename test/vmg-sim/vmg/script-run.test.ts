import { describe, expect, test } from "vitest";
import { runScript, type ScriptMachine, type StepReport } from "#vmg-sim/vmg/script-run.ts";

const bytes = (hex: string) => Buffer.from(hex, "hex");
const toHex = (data: Uint8Array) => Buffer.from(data).toString("hex").toUpperCase();

/** An ECU and a gateway that answer one after the other what they are given here. */
async function authenticate(answers: string[], proofs: string[]) {
  const asked: string[] = [];
  const challenged: string[] = [];
  const steps: StepReport[] = [];
  const machine: ScriptMachine = {
    throwIfOver: () => {},
    async ask(request) {
      asked.push(toHex(request));
      return { response: bytes(answers.shift() ?? "7F2910") };
    },
    async prove(service, _, answer) {
      expect(service).toBe(0x29);
      challenged.push(toHex(answer));
      return bytes(proofs.shift() ?? "2900");
    },
    wait: async () => {},
    now: () => 0,
    async report(step) {
      steps.push(step);
    },
  };
  const script = { steps: [{ authenticate: true as const }] };
  const error = await runScript(script, machine, new Map()).catch((thrown: unknown) => thrown);
  return { asked, challenged, steps, error };
}

describe("authentication in a script", () => {
  test("goes on as the gateway leads, until the ECU says that it is done", async () => {
    const run = await authenticate(["69011100AA", "690312"], ["2901000B", "2903000C"]);
    expect(run).toMatchObject({
      error: undefined,
      asked: ["2901000B", "2903000C"],
      challenged: ["", "69011100AA"],
      steps: [{ path: "steps/0" }, { path: "steps/0", response: "690312" }],
    });
  });

  test("takes a challenge that is asked for before anything is shown", async () => {
    const run = await authenticate(["690500AABB", "690612"], ["2905", "2906CC"]);
    expect(run).toMatchObject({ error: undefined, challenged: ["", "690500AABB"] });
  });

  test.each([
    ["the ECU refuses", ["7F2952"], ["2901"], "SCRIPT_STEP_FAILED"],
    ["the ECU gives up what it had", ["690010"], ["2900"], "SCRIPT_STEP_FAILED"],
    ["it never ends", Array(9).fill("690111"), Array(9).fill("2901"), "SCRIPT_STEP_FAILED"],
    ["the gateway sends something else", [], ["1101"], "SCRIPT_PROOF_MISSING"],
  ])("fails when %s", async (_, answers, proofs, code) => {
    const run = await authenticate([...answers], [...proofs]);
    expect(run.error).toMatchObject({ code });
    expect(run.asked.length).toBeLessThanOrEqual(4);
    expect(run.asked).not.toContain("1101");
  });
});
