import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, type TestContext } from "vitest";
import { doipCapture } from "#protocol/capture/doip-capture.ts";
import { capturedPacket, captureHeader } from "#protocol/capture/pcapng.ts";
import { tcpStream } from "#protocol/capture/tcp-stream.ts";
import { PayloadType } from "#protocol/doip/codes.ts";
import { ackOf } from "#protocol/doip/entity.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { requirePeer } from "#test/helpers/optional.ts";

const at = new Date("2026-05-04T10:00:00.250Z");

const diagnostic = (source: number, target: number, uds: string): DiagnosticMessage => ({
  type: PayloadType.diagnosticMessage,
  source,
  target,
  userData: Buffer.from(uds, "hex"),
});

/** A read, and a block of a download that takes many segments. */
function conversation(): Buffer {
  const capture = doipCapture();
  const read = diagnostic(0x0e00, 0x1001, "22f190");
  const vin = Buffer.from("LATTICE0000000001").toString("hex");
  const block = diagnostic(0x0e00, 0x1001, `3601${"a5".repeat(60_000)}`);
  return Buffer.concat([
    capture.begin(at),
    capture.message("tester", read, at, "asked by an engineer"),
    capture.message("vehicle", ackOf(read), at),
    capture.message("vehicle", diagnostic(0x1001, 0x0e00, `62f190${vin}`), at),
    capture.message("tester", block, at),
    capture.message("vehicle", ackOf(block), at),
    capture.message("vehicle", diagnostic(0x1001, 0x0e00, "7f3678"), at),
    capture.message("vehicle", diagnostic(0x1001, 0x0e00, "7601"), at),
    capture.end(at),
  ]);
}

function dissect(context: TestContext, ...arguments_: string[]): string[] {
  requirePeer(context, "tshark");
  const file = join(testFolder(), "session.pcapng");
  writeFileSync(file, conversation());
  const checks = ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE"].flatMap((o) => ["-o", o]);
  const { stdout, stderr, status } = spawnSync("tshark", ["-r", file, ...checks, ...arguments_], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return stdout.split("\n").filter((line) => line !== "");
}

describe("a captured session", () => {
  test("is read by Wireshark as DoIP and UDS", (context) => {
    const fields = ["doip.type", "uds.sid", "uds.reply", "uds.err.code"];
    const lines = dissect(
      context,
      ...["-Y", "doip", "-T", "fields", "-E", "separator=,"],
      ...fields.flatMap((field) => ["-e", field]),
    );
    // One release of Wireshark writes 1, another 0x01.
    const rows = lines.map((line) => line.split(",").map((value) => value && Number(value)));
    expect(rows).toEqual([
      [0x8001, 0x22, 0, ""],
      [0x8002, "", "", ""],
      [0x8001, 0x22, 1, ""],
      [0x8001, 0x36, 0, ""],
      [0x8002, "", "", ""],
      [0x8001, 0x3f, 1, 0x78],
      [0x8001, 0x36, 1, ""],
    ]);
  });

  test("has nothing that Wireshark finds fault with", (context) => {
    const faults =
      "_ws.malformed or tcp.analysis.flags or tcp.checksum.status == 0 or ip.checksum.status == 0";
    expect(dissect(context, "-Y", faults)).toEqual([]);
  });

  test("says when, and who asked", (context) => {
    const [first] = dissect(
      context,
      ...["-Y", "uds", "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.comment"],
    );
    const [time, comment] = (first ?? "").split("\t");
    expect(Number(time) * 1000).toBe(at.getTime());
    expect(comment).toBe("asked by an engineer");
  });
});

describe("a pcapng file", () => {
  test("is made of blocks whose lengths stand at both ends", () => {
    const file = Buffer.concat([captureHeader(), capturedPacket(Buffer.alloc(5, 1), at, "ünd")]);
    const blocks: string[] = [];
    for (let place = 0; place < file.length;) {
      const length = file.readUInt32LE(place + 4);
      expect(length % 4).toBe(0);
      expect(file.readUInt32LE(place + length - 4)).toBe(length);
      blocks.push(file.subarray(place, place + 4).toString("hex"));
      place += length;
    }
    expect(blocks).toEqual(["0a0d0d0a", "01000000", "06000000"]);
  });

  test("takes IPv4 addresses only", () => {
    const stream = tcpStream({ address: "::1", port: 1 }, { address: "192.0.2.2", port: 2 });
    expect(() => stream.open()).toThrow(RangeError);
  });
});
