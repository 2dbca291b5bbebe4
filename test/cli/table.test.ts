import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { filterCaret } from "#cli/filter-caret.ts";
import { byteText, progressBar } from "#cli/progress-bar.ts";
import { serverSentData } from "#cli/server-sent.ts";
import { shownTime, table } from "#cli/table.ts";

const id = "01a20023-bc64-7363-89ec-f3ae97d4d6ed";
const lines = (...given: Parameters<typeof table>) =>
  stripVTControlCharacters(table(...given)).split("\n");

describe("a table", () => {
  it("is as wide as what is in it where nothing bounds it", () => {
    expect(lines(["A", "LONGER"], [["one", "x"]], {})).toEqual(["A    LONGER", "one  x"]);
  });

  it("fits the terminal by cutting the widest cells, and never an id", () => {
    const shown = lines(["NAME", "WHY", "ID"], [["short", "w".repeat(80), id]], { width: 70 });
    expect(shown.map((line) => line.length)).toEqual([36, 70]);
    expect(shown[1]).toBe(`short  ${"w".repeat(24)}…  ${id}`);
  });

  it("shows ids whole though they don't fit", () => {
    const [, row] = lines(["NAME", "ID"], [["n".repeat(30), id]], { width: 20 });
    expect(row).toBe(`${"n".repeat(7)}…  ${id}`);
  });

  it("leaves out of a time what is missed least", () => {
    const year = new Date().getFullYear();
    const at = (width: number, time: string) =>
      lines(["NAME", "AT"], [["n".repeat(24), time]], { width })[1]
        ?.slice(-time.length)
        .trim();
    const time = `${year}-01-19 20:00:07`;
    expect(at(45, time)).toBe(time);
    expect(at(44, time)?.endsWith(` ${year}-01-19 20:00`)).toBe(true);
    expect(at(41, time)?.endsWith(" 01-19 20:00")).toBe(true);
    expect(at(10, `${year - 1}-01-19 20:00:07`)?.endsWith(` ${year - 1}-01-19…`)).toBe(true);
  });

  it("leaves out columns that can be done without, as few as it takes", () => {
    const row = ["short", "w".repeat(80), "x".repeat(10), id];
    const heading = ["NAME", "WHY", "LESS", "ID"];
    const headings = (width: number) =>
      lines(heading, [row], { width, spare: ["ID", "LESS"] })[0]?.split(/ +/);
    expect(headings(81)).toEqual(["NAME", "WHY", "LESS", "ID"]);
    expect(headings(80)).toEqual(["NAME", "WHY", "LESS"]);
    expect(headings(42)).toEqual(["NAME", "WHY"]);
    expect(lines(heading, [row], { spare: ["ID"] })[1]).toContain(id);
  });

  it("shows what a vehicle has written and does not do it", () => {
    expect(lines(["A"], [["\u001B[2J\n"]], { width: 80 })[1]).toBe("\\u001b[2J\\u000a");
  });

  it("shows times without fractions where nobody looks, and in their zone on a terminal", () => {
    expect(shownTime("2026-01-19T20:00:00.123Z", false)).toBe("2026-01-19T20:00:00Z");
    const local = shownTime("2026-01-19T20:00:00.123Z", true);
    expect(local).toMatch(/^2026-01-\d\d \d\d:\d\d:00$/);
    expect(new Date(local).toISOString()).toBe("2026-01-19T20:00:00.000Z");
    expect(shownTime(null)).toBe("");
  });
});

describe("the place of a mistake in a filter", () => {
  const at = (text: string, line: number, column: number, width?: number) =>
    filterCaret({ text, position: { offset: 0, line, column } }, width).split("\n");

  it("is under it", () => {
    expect(at('region = "EU"', 1, 8)).toEqual(['  region = "EU"', "         ^"]);
    expect(at("all and\r\n  nobody", 2, 3)).toEqual(["    nobody", "    ^"]);
  });

  it("is behind the end, where something is missing", () => {
    expect(at("not", 1, 4)).toEqual(["  not", "     ^"]);
  });

  it("is shown of a long line, and beside what a terminal would act upon", () => {
    const [line = "", caret = ""] = at(`${"a".repeat(200)}X${"b".repeat(200)}`, 1, 201, 40);
    expect(line.length).toBeLessThanOrEqual(40);
    expect([line[caret.indexOf("^")], line[2], line.at(-1)]).toEqual(["X", "…", "…"]);
    const [shown = "", below = ""] = at("\t\u001B= 1", 1, 3);
    expect(shown[below.indexOf("^")]).toBe("=");
  });
});

describe("a progress bar", () => {
  it("is drawn on a terminal alone, and taken away", () => {
    const written: string[] = [];
    const write = (text: string) => written.push(text);
    let time = 0;
    const quiet = progressBar(1000, { write }, () => time);
    quiet.add(1000);
    quiet.end();
    expect(written).toEqual([]);
    const bar = progressBar(2000, { isTTY: true, write }, () => time);
    bar.add(500);
    bar.add(1);
    time = 1000;
    bar.add(499);
    bar.end();
    expect(written).toHaveLength(3);
    expect(written[1]).toContain(
      `${"█".repeat(15)}${"░".repeat(15)} 50 %  1.0 kB of 2.0 kB  1.0 kB/s  1 s left`,
    );
    expect(written[2]).toBe("\r\u001B[K");
  });

  it("tells sizes by thousands", () => {
    const sizes = [0, 999, 1000, 1_234_567, 5e12, 5e15].map(byteText);
    expect(sizes).toEqual(["0 B", "999 B", "1.0 kB", "1.2 MB", "5.0 TB", "5000.0 TB"]);
  });
});

describe("server-sent events", () => {
  it("are read wherever they are cut", async () => {
    const text =
      ': connected\n\nid: 1\nevent: x\ndata: {"a":"ü"}\n\ndata: one\ndata: two\r\n\r\ndata: cut';
    const bytes = Buffer.from(text);
    for (let size = 1; size <= bytes.length; size++) {
      async function* parts() {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
      }
      const data = await Array.fromAsync(serverSentData(parts()));
      expect(data).toEqual(['{"a":"ü"}', "one\ntwo"]);
    }
  });
});
