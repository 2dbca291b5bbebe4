import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { manualClock, settle, type ManualClock } from "#test/protocol/doip/manual-clock.ts";
import { rawSocket, type RawSocket } from "#test/protocol/doip/raw-socket.ts";
import { EDGE, edgeRig, FRONT, type EdgeRig } from "./edge-rig.ts";

/** One vehicle for all: whatever one tester does, the next one finds it at work. */
let rig: EdgeRig;
let clock: ManualClock;

beforeAll(async () => {
  clock = manualClock();
  rig = await edgeRig(clock);
});

afterAll(() => rig.dispose());

const hex = (value: number, bytes = 2) => value.toString(16).padStart(2 * bytes, "0");
/** A frame whose header tells the truth. */
const frame = (type: string, payload = "") => `02fd${type}${hex(payload.length / 2, 4)}${payload}`;
const activation = (source: string, type = "00") => frame("0005", `${source}${type}00000000`);
const alive = (source: string) => frame("0008", source);
const diagnostic = (source: string, uds = "22f186", target = FRONT) =>
  frame("8001", source + hex(target) + uds);

const zonePort = () => rig.hardware.zones[0]?.port ?? 0;
const entities = [
  { name: "the edge gateway", address: EDGE, port: () => rig.edge.port, inside: "00" },
  { name: "a zonal gateway", address: 0x1000, port: zonePort, inside: "10" },
] as const;

const SOURCE = "0e00";
let testers = 0;

/** An address that no other tester here has or had lately. */
function freshSource(): string {
  testers += 1;
  return hex(0x0e10 + (testers % 0x60));
}

describe.each(entities)("$name", ({ address, port, inside }) => {
  const activated = (source = SOURCE, code = "10") =>
    frame("0006", `${source}${hex(address)}${code}00000000`);
  const refused = (code: string) => frame("0000", code);
  const nack = (code: string, source = SOURCE, target = FRONT) =>
    frame("8003", hex(target) + source + code);

  /** A new tester gets its answer, so all is well. */
  async function servesAnother(): Promise<"served"> {
    const source = freshSource();
    const raw = await rawSocket(port());
    raw.send(activation(source));
    expect(await raw.receive(17)).toBe(activated(source));
    const ask = () => {
      raw.send(diagnostic(source));
      return raw.receive(13);
    };
    let taken = await ask();
    // The ECU may be full just now (ISO 13400-2, out of memory); then there is room in a moment.
    while (taken === nack("05", source)) taken = await ask();
    expect(taken).toBe(frame("8002", `${hex(FRONT)}${source}00`));
    const answer = frame("8001", `${hex(FRONT)}${source}62f18601`);
    expect(await raw.receive(answer.length / 2)).toBe(answer);
    await leave(raw);
    return "served";
  }

  async function leave(raw: RawSocket): Promise<void> {
    raw.socket.end();
    await raw.closed();
  }

  async function tester(): Promise<RawSocket> {
    const raw = await rawSocket(port());
    raw.send(activation(SOURCE));
    expect(await raw.receive(17)).toBe(activated());
    return raw;
  }

  /** What comes back for bytes, and whether the socket is kept: it then activates routing. */
  async function reaction(raw: RawSocket, bytes: string): Promise<string> {
    raw.send(bytes, activation(SOURCE));
    const heard: string[] = [];
    for (;;) {
      try {
        const header = await raw.receive(8);
        heard.push(header + (await raw.receive(Number.parseInt(header.slice(8), 16))));
      } catch {
        return [...heard, "closed"].join(" ");
      }
      if (heard.at(-1) === activated()) break;
    }
    await leave(raw);
    return [...heard.slice(0, -1), "kept"].join(" ");
  }

  const vin = "4c415454494345303030303030303030303031".slice(0, 34);
  const unknown = `${refused("01")} kept`;
  const types: [string, string, before: string, after: string][] = [
    ["0000 header NACK", frame("0000", "01"), "kept", "kept"],
    ["0001 identification", frame("0001"), unknown, unknown],
    ["0002 identification by EID", frame("0002", "020000000001"), unknown, unknown],
    ["0003 identification by VIN", frame("0003", vin), unknown, unknown],
    ["0004 announcement", frame("0004", "00".repeat(33)), unknown, unknown],
    ["0006 activation response", activated(), unknown, unknown],
    ["0007 alive check", frame("0007"), unknown, unknown],
    ["0008 alive", alive(SOURCE), "kept", "kept"],
    ["0008 alive of another", alive("0e01"), "kept", "kept"],
    ["4001 entity status", frame("4001"), unknown, unknown],
    ["4002 entity status response", frame("4002", "000101"), unknown, unknown],
    ["4003 power mode", frame("4003"), unknown, unknown],
    ["4004 power mode response", frame("4004", "01"), unknown, unknown],
    ["8002 acknowledgement", frame("8002", `${hex(FRONT)}${SOURCE}00`), unknown, unknown],
    ["8003 NACK", frame("8003", `${hex(FRONT)}${SOURCE}02`), unknown, unknown],
    ["0009, which is nothing", frame("0009", "00"), unknown, unknown],
    ["ffff, which is nothing", frame("ffff"), unknown, unknown],
    [
      "8001 to nobody",
      diagnostic(SOURCE, "3e00", 0x7777),
      "",
      `${nack("03", SOURCE, 0x7777)} kept`,
    ],
    ["8001 to address 0", diagnostic(SOURCE, "3e00", 0), "", `${nack("03", SOURCE, 0)} kept`],
    [
      "8001 to itself",
      diagnostic(SOURCE, "3e00", 0x0e00),
      "",
      `${nack("03", SOURCE, 0x0e00)} kept`,
    ],
    ["8001 of another source", diagnostic("0e01"), "", `${nack("02", "0e01")} closed`],
    ["8001 of an ECU", diagnostic("1001"), "", `${nack("02", "1001")} closed`],
    ["8001 of no source", diagnostic("0000"), "", `${nack("02", "0000")} closed`],
  ];

  test.each(types)("type %s", async (_, bytes, before, after) => {
    // Before the activation it is the source of a diagnostic message that is invalid, whatever else is.
    const [source, target] = [bytes.slice(16, 20), Number.parseInt(bytes.slice(20, 24), 16)];
    const early = before === "" ? `${nack("02", source, target)} closed` : before;
    expect(await reaction(await rawSocket(port()), bytes)).toBe(early);
    expect(await reaction(await tester(), bytes)).toBe(after);
    await servesAnother();
  });

  const header = (type: string, length: number) => `02fd${type}${hex(length, 4)}`;
  const [pattern, length] = [`${refused("00")} closed`, `${refused("04")} closed`];

  const wrong: [string, string, string][] = [
    ...["00", "01", "04", "05", "7f", "ff"].map((version): [string, string, string] => {
      const inverse = hex(0xff - Number.parseInt(version, 16), 1);
      return [`version ${version}`, `${version}${inverse}${alive(SOURCE).slice(4)}`, pattern];
    }),
    ...["0000", "0202", "02fc", "02ff", "03fd", "fd02", "ffff"].map(
      (both): [string, string, string] => [
        `versions ${both}`,
        both + alive(SOURCE).slice(4),
        pattern,
      ],
    ),
    ...[0, 2, 255].map((n): [string, string, string] => [
      `a header NACK of ${n} bytes`,
      header("0000", n),
      length,
    ]),
    ...[0, 1, 6, 8, 10, 12, 255].map((n): [string, string, string] => [
      `an activation of ${n} bytes`,
      header("0005", n),
      length,
    ]),
    ...[0, 1, 3, 255].map((n): [string, string, string] => [
      `an alive of ${n} bytes`,
      header("0008", n),
      length,
    ]),
    ...[0, 1, 4].map((n): [string, string, string] => [
      `a diagnostic message of ${n} bytes`,
      header("8001", n),
      length,
    ]),
    ["an activation with a byte more than it says", `${activation(SOURCE)}00`, "trailing"],
    ["an alive with a header's worth of zeros after it", alive(SOURCE) + "00".repeat(8), pattern],
  ];

  test.each(wrong)("%s", async (_, bytes, expected) => {
    const early = expected === "trailing" ? `${activated()} ${pattern}` : expected;
    const raw = await rawSocket(port());
    raw.send(bytes, alive(SOURCE));
    const heard = await raw.closed();
    expect(heard).toBe(early.replaceAll(/ |closed/g, ""));
    await servesAnother();
  });

  test.each([
    ["a diagnostic message that no buffer is for", "8001", 2 * (0xffff + 4) + 1, "02"],
    ["an activation of half a MiB", "0005", 0x80000, "02"],
    ["an unknown type of half a MiB", "1234", 0x80000, "01"],
  ])("%s is skipped", async (_, type, size, code) => {
    const bytes = header(type, size) + "02fd".repeat(Math.ceil(size / 2)).slice(0, 2 * size);
    expect(await reaction(await rawSocket(port()), bytes)).toBe(`${refused(code)} kept`);
    await servesAnother();
  });

  test.each([
    ["8001", "02"],
    ["0005", "02"],
    ["1234", "01"],
  ])("4 GiB of type %s is refused by its header, and ends with the tester", async (type, code) => {
    const raw = await rawSocket(port());
    raw.send(header(type, 0xffff_ffff), activation(SOURCE));
    expect(await raw.receive(9)).toBe(refused(code));
    await servesAnother();
    await leave(raw);
  });

  test("a diagnostic message too long for UDS, but not for the buffer, has its own NACK", async () => {
    const raw = await tester();
    expect(await reaction(raw, diagnostic(SOURCE, "36".repeat(0x10000)))).toBe(
      `${nack("04")} kept`,
    );
    await servesAnother();
  });

  const accepted = [
    ["header NACK", frame("0000", "01")],
    ["activation", activation(SOURCE)],
    ["activation with OEM bytes", frame("0005", `${SOURCE}000000000000000000`)],
    ["alive", alive(SOURCE)],
    ["diagnostic message", diagnostic(SOURCE)],
  ] as const;

  test.each(accepted)("half a %s, cut anywhere, then a close", async (_, bytes) => {
    for (let cut = 0; cut < bytes.length; cut += 2) {
      const raw = await rawSocket(port());
      raw.send(bytes.slice(0, cut));
      raw.socket.end();
      expect(await raw.closed(), `${cut / 2} bytes`).toBe("");
    }
    await servesAnother();
  });

  test.each(accepted)("half a %s, cut anywhere, then another frame", async (_, bytes) => {
    for (let cut = 2; cut < bytes.length; cut += 2) {
      const raw = await rawSocket(port());
      // Zeros at last: wherever the frames are out of step, no header begins with them.
      const sent = bytes.slice(0, cut) + frame("8001", `${SOURCE}77773e00`) + "00".repeat(40);
      raw.send(sent);
      raw.socket.end();
      const heard = await raw.closed();
      expect(heard, `${cut / 2} bytes`).toBe(outOfStep(sent));
    }
    await servesAnother();
  });

  /** The refusals for a stream, by the standard's header handler, and the answers before them. */
  function outOfStep(stream: string): string {
    const bytes = Buffer.from(stream, "hex");
    let heard = "";
    let active = false;
    for (let at = 0; bytes.length - at >= 8;) {
      const [version, inverse] = [bytes.readUInt8(at), bytes.readUInt8(at + 1)];
      const [type, size] = [bytes.readUInt16BE(at + 2), bytes.readUInt32BE(at + 4)];
      const payload = bytes.subarray(at + 8, at + 8 + size).toString("hex");
      at += 8 + size;
      if (![2, 3].includes(version) || version + inverse !== 0xff) return heard + refused("00");
      const fits = { 0: [1], 5: [7, 11], 8: [2], 0x8001: undefined }[type];
      if (fits === undefined && type !== 0x8001) heard += refused("01");
      else if (size > 2 * (0xffff + 4)) heard += refused("02");
      else if (fits ? !fits.includes(size) : size < 5) return heard + refused("04");
      else if (payload.length < 2 * size) return heard;
      else if (type === 5) {
        const source = payload.slice(0, 4);
        const isTester = source.startsWith("0e");
        const code = !isTester ? "00" : payload.slice(4, 6) === "00" ? "10" : "06";
        heard += activated(source, code);
        if (code !== "10") return heard;
        active = true;
      } else if (type === 0x8001) {
        const [source, target] = [payload.slice(0, 4), Number.parseInt(payload.slice(4, 8), 16)];
        const isRouted = active && source === SOURCE;
        heard += nack(isRouted ? "03" : "02", source, target);
        if (!isRouted) return heard;
      }
    }
    return heard;
  }

  test("a whole visit is the same in one segment and byte by byte", async () => {
    const requests = ["22f186", "3e00", "22ffff"].map((uds) => diagnostic(SOURCE, uds));
    const visit = [activation(SOURCE), alive(SOURCE), frame("4001"), ...requests].join("");
    const ack = frame("8002", `${hex(FRONT)}${SOURCE}00`);
    const expected = [activated(), refused("01"), ack, ack, ack];
    const answers = ["62f18601", "7e00", "7f2231"].map((uds) =>
      frame("8001", hex(FRONT) + SOURCE + uds),
    );
    const all = [...expected, ...answers].toSorted();
    for (const step of [visit.length, 2]) {
      const raw = await rawSocket(port());
      raw.socket.setNoDelay(true);
      for (let at = 0; at < visit.length; at += step) {
        raw.send(visit.slice(at, at + step));
        await settle();
      }
      const heard = await raw.receive(all.join("").length / 2);
      expect((heard.match(/02fd.*?(?=02fd|$)/g) ?? []).toSorted()).toEqual(all);
      await leave(raw);
    }
  });

  const sources: [string, string][] = [
    ...["0000", "0001", "0dff", "0f80", "0fff", "1000", "1001", "7fff", "8000", "e000", "ffff"].map(
      (source): [string, string] => [source, "00"],
    ),
    ...["0e00", "0e7f", "0e80", "0eff"].map((source): [string, string] => [source, "10"]),
    ["0f00", inside],
    ["0f7f", inside],
  ];

  test.each(sources)("activation of %s: %s", async (source, code) => {
    const raw = await rawSocket(port());
    raw.send(activation(source));
    expect(await raw.receive(17)).toBe(activated(source, code));
    if (code === "10") raw.socket.end();
    expect(await raw.closed()).toBe("");
    await servesAnother();
  });

  test.each(["02", "7f", "df", "ff"])("activation of type %s", async (type) => {
    const raw = await rawSocket(port());
    raw.send(activation(SOURCE, type));
    expect(await raw.closed()).toBe(activated(SOURCE, "06"));
    await servesAnother();
  });

  test.each([
    ["requests to an ECU", diagnostic(SOURCE), 5_000],
    ["requests to all ECUs", diagnostic(SOURCE, "22f186", 0xe400), 2_000],
    ["requests to nobody", diagnostic(SOURCE, "3e00", 0x7777), 20_000],
    ["frames to be refused", frame("4001"), 20_000],
    ["signs of life", alive(SOURCE), 20_000],
    ["activations", activation(SOURCE), 20_000],
  ])("a flood of %s whose answers nobody reads leaves room for others", async (_, bytes, times) => {
    const raw = await tester();
    raw.socket.pause();
    raw.send(bytes.repeat(times));
    await servesAnother();
    // Nothing comes any more: that ends it, read or not.
    const closed = raw.closed();
    raw.socket.resume();
    await passing(closed, 300_000);
    expect(await servesAnother()).toBe("served");
  });

  /** Lets time go by until something has come about. */
  async function passing(about: Promise<unknown>, ms: number): Promise<void> {
    let isOver = false;
    void about.finally(() => {
      isOver = true;
    });
    for (; !isOver; await settle()) clock.advance(ms);
  }

  test("a byte at a time is no activity: 2 s before the activation, 5 min after it", async () => {
    const raw = await rawSocket(port());
    for (const byte of activation(SOURCE).match(/../g)?.slice(0, 4) ?? []) {
      raw.send(byte);
      clock.advance(500);
    }
    expect(await raw.closed()).toBe("");
    const late = await tester();
    for (const byte of diagnostic(SOURCE).match(/../g)?.slice(0, 5) ?? []) {
      late.send(byte);
      clock.advance(60_000);
    }
    expect(await late.closed()).toBe("");
    await servesAnother();
  });

  test("connections that say nothing are gone after 2 s", async () => {
    const silent = await Promise.all(Array.from({ length: 20 }, () => rawSocket(port())));
    await passing(Promise.all(silent.map((raw) => raw.closed())), 2_000);
    expect(await servesAnother()).toBe("served");
  });

  test("testers that leave in the middle of everything leave nothing behind", async () => {
    for (let visit = 0; visit < 30; visit++) {
      const source = freshSource();
      const raw = await rawSocket(port());
      raw.send(activation(source), diagnostic(source).repeat(40));
      await raw.receive(17);
      raw.socket.resetAndDestroy();
      await once(raw.socket, "close");
    }
    expect(await servesAnother()).toBe("served");
  });
});
