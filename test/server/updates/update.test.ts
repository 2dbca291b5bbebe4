import { describe, expect, it } from "vitest";
import { updateStatuses, type UpdateStatus } from "#protocol/api/update.ts";
import { reportedStatuses } from "#protocol/mqtt/ota-status.ts";
import {
  isFinal,
  nextState,
  showsTargets,
  type UpdateInput,
  type UpdateState,
} from "#server/updates/update.ts";

type Input =
  | (typeof reportedStatuses)[number]
  | "vci shows"
  | "vci differs"
  | "silence"
  | "deadline"
  | "superseded"
  | "cancel";

const columns: Input[] = [
  ...reportedStatuses,
  "vci shows",
  "vci differs",
  "silence",
  "deadline",
  "superseded",
  "cancel",
];

const short: Record<string, UpdateStatus> = {
  def: "deferred",
  dow: "downloading",
  ver: "verifying",
  bac: "backing_up",
  ins: "installing",
  res: "restarting",
  hea: "health_check",
  rol: "rolling_back",
  rbd: "rolled_back",
  suc: "success",
  fai: "failed",
  can: "cancelled",
  exp: "expired",
};

/**
 * The whole table: for each state (rows) what each input (columns, in the order above) leads to;
 * `---` is refused. `dow ver bac ins res hea completed rol rolled_back failed deferred` are reports.
 */
const table = `
               dow ver bac ins res hea com rol rbd fai def  yes no  sil due sup can
pending        dow ver bac ins res hea hea rol rbd fai def  --- --- exp --- can can
deferred       dow ver bac ins res hea hea rol rbd fai def  --- --- exp --- can can
downloading    dow ver bac ins res hea hea rol rbd fai def  --- --- fai --- can can
verifying      dow ver bac ins res hea hea rol rbd fai def  --- --- fai --- can can
backing_up     --- --- bac ins res hea hea rol rbd fai def  --- --- fai --- can can
installing     --- --- --- ins res hea hea rol rbd fai ---  suc --- fai fai fai ---
restarting     --- --- --- --- res hea hea rol rbd fai ---  suc --- fai fai fai ---
health_check   --- --- --- --- --- hea hea rol rbd fai ---  suc --- fai fai fai ---
rolling_back   --- --- --- --- --- --- --- rol rbd fai ---  suc --- fai fai fai ---
success        --- --- --- --- --- --- --- --- --- --- ---  --- --- --- --- --- ---
rolled_back    --- --- --- --- --- --- --- --- --- --- ---  --- --- --- --- --- ---
failed         --- --- --- --- --- --- --- --- --- --- ---  --- --- --- --- --- ---
cancelled      --- --- --- --- --- --- --- --- --- --- ---  --- --- --- --- --- ---
expired        --- --- --- --- --- --- --- --- --- --- ---  --- --- --- --- --- ---
`;

const rows = table
  .trim()
  .split("\n")
  .slice(1)
  .map((line) => line.split(/\s+/) as [UpdateStatus, ...string[]]);

function asInput(input: Input): UpdateInput {
  switch (input) {
    case "vci shows":
    case "vci differs":
      return { type: "vci", showsTargets: input === "vci shows" };
    case "silence":
    case "deadline":
    case "superseded":
    case "cancel":
      return { type: input };
    default:
      return { type: "report", status: input };
  }
}

const cases = rows.flatMap(([from, ...cells]) =>
  columns.map((input, index) => [from, input, cells[index] as string] as const),
);

describe("nextState", () => {
  it("has a row for every status and a cell for every input", () => {
    expect(rows.map(([status]) => status).sort()).toEqual([...updateStatuses].sort());
    for (const row of rows) expect(row).toHaveLength(columns.length + 1);
  });

  it.each(cases)("%s, %s: %s", (from, input, cell) => {
    const next = nextState({ status: from, claimed: false }, asInput(input));
    expect(next?.status).toBe(short[cell]);
  });

  it("never leaves an end, claimed or not", () => {
    for (const status of updateStatuses.filter(isFinal)) {
      for (const input of columns) {
        expect(nextState({ status, claimed: true }, asInput(input))).toBeUndefined();
      }
    }
  });

  it("takes a completion for a claim, which only a VCI settles", () => {
    const claimed = nextState(
      { status: "restarting", claimed: false },
      { type: "report", status: "completed" },
    ) as UpdateState;
    expect(claimed).toEqual({ status: "health_check", claimed: true });
    expect(nextState(claimed, { type: "vci", showsTargets: true })?.status).toBe("success");
    expect(nextState(claimed, { type: "vci", showsTargets: false })?.status).toBe("failed");
  });

  it("reaches success by no report, from no state", () => {
    for (const status of updateStatuses) {
      for (const claimed of [false, true]) {
        for (const reported of reportedStatuses) {
          const next = nextState({ status, claimed }, { type: "report", status: reported });
          expect(next?.status).not.toBe("success");
        }
      }
    }
  });

  it("keeps the claim through later reports", () => {
    const state = { status: "health_check", claimed: true } as const;
    expect(nextState(state, { type: "report", status: "health_check" })?.claimed).toBe(true);
  });
});

describe("showsTargets", () => {
  const target = (ecu_id: string, to_version: string) => ({
    ecu_id,
    zone_id: "Z",
    from_version: "1.0.0",
    to_version,
  });
  const targets = [target("A", "2.0.0"), target("B", "3.0.0")];

  it.each([
    [{ A: "2.0.0", B: "3.0.0" }, true],
    [{ A: "2.0.0", B: "3.0.0", C: "1.0.0" }, true],
    [{ A: "2.0.0" }, false],
    [{ A: "2.0.0", B: "3.0.1" }, false],
    [{ A: "3.0.0", B: "2.0.0" }, false],
    [{}, false],
  ])("%j: %s", (versions, expected) => {
    const ecus = Object.entries(versions).map(([ecu_id, software_version]) => ({
      ecu_id,
      software_version,
    }));
    expect(showsTargets(targets, ecus)).toBe(expected);
  });
});
