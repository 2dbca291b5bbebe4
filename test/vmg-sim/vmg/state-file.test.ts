import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Type } from "typebox";
import { describe, expect, it } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";
import { stateFile } from "#vmg-sim/vmg/state-file.ts";

const Counter = Type.Object({ n: Type.Integer() });

describe("state file", () => {
  it("holds the last of many writes, in its order, and nothing beside it", async () => {
    const folder = testFolder();
    const state = stateFile(join(folder, "deep", "n.json"), Counter);
    expect(await state.read()).toBeUndefined();
    await Promise.all(Array.from({ length: 20 }, (_, n) => state.write({ n })));
    expect(await state.read()).toEqual({ n: 19 });
    expect(readdirSync(join(folder, "deep"))).toEqual(["n.json"]);
    expect(statSync(join(folder, "deep", "n.json")).mode & 0o777).toBe(0o600);
    await state.remove();
    expect(await state.read()).toBeUndefined();
  });

  it.each(['{"n":', '{"n":"1"}', ""])("names the file that holds %j", async (text) => {
    const file = join(testFolder(), "n.json");
    writeFileSync(file, text);
    const state = stateFile(file, Counter);
    await expect(state.read()).rejects.toMatchObject({ code: "STATE_FILE_INVALID" });
    await expect(state.read()).rejects.toThrow(file);
  });
});
