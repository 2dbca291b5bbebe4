import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { PayloadType } from "#protocol/doip/codes.ts";
import { encodeFrame } from "#protocol/doip/frame.ts";

/** What Wireshark makes of a capture. */
export interface Dissection {
  /** Malformed frames, and whatever its experts call an error or a warning of DoIP or UDS. */
  problems: string[];
  /** The DoIP payload types that it has read, as `0x8001`, in order. */
  types: string[];
  /** The services of UDS, as `0x22`, in order; 0x3f is that of negative responses. */
  services: string[];
}

/** What it has to make of a conversation: every payload type, and no fault. */
export const conversation: Dissection = {
  problems: [],
  types: Object.values(PayloadType)
    .filter((type) => type !== PayloadType.headerNack)
    .map((type) => `0x${type.toString(16).padStart(4, "0")}`),
  services: ["0x22", "0x3e", "0x3f", "0xba"],
};

/** Ports other than DoIP's own that are DoIP's in a capture. */
interface Ports {
  tcp: number;
  udp: number;
}

/** Has tshark read a file. @throws what it says when it cannot */
export function dissect(file: string, ports?: Ports): Dissection {
  const problem =
    '_ws.malformed || _ws.expert.severity == "Error" || ((doip || uds) && _ws.expert.severity == "Warning")';
  return {
    problems: lines(file, ports, problem, ["frame.number", "_ws.expert.message", "doip.type"]),
    types: distinct(lines(file, ports, "doip", ["doip.type"])),
    services: distinct(lines(file, ports, "uds", ["uds.sid"])),
  };
}

function lines(file: string, ports: Ports | undefined, filter: string, fields: string[]) {
  // The mark at a capture's end is not of it.
  const display = `(${filter}) && !(doip.nack_code == 3)`;
  const options = ["-r", file, ...decodeAs(ports), "-Y", display, "-T", "fields"];
  const shown = fields.flatMap((field) => ["-e", field]);
  const { stdout, stderr, status } = spawnSync("tshark", [...options, ...shown], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return stdout.split("\n").filter((line) => line.trim() !== "");
}

function decodeAs(ports: Ports | undefined): string[] {
  return ports ? ["-d", `tcp.port==${ports.tcp},doip`, "-d", `udp.port==${ports.udp},doip`] : [];
}

/** A packet may hold several messages: `0x8002,0x8001`. */
function distinct(found: string[]): string[] {
  return [...new Set(found.flatMap((line) => line.split(",")))].toSorted();
}

/**
 * Records what goes over the loopback interface by these ports while something is done, into a new
 * file; needs the peer "capture".
 */
export async function captured<T>(file: string, ports: Ports, act: () => Promise<T>): Promise<T> {
  const filter = `tcp port ${ports.tcp} or udp port ${ports.udp}`;
  const options = ["-p", "-i", "lo", "-f", filter, "-w", file, ...decodeAs(ports)];
  const tshark = spawn("tshark", [...options, "-P", "-l", "-T", "fields", "-e", "doip.nack_code"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(tshark, "exit");
  const begun = Promise.withResolvers<void>();
  const marked = Promise.withResolvers<void>();
  createInterface(tshark.stderr).on("line", (line) => line.includes("File:") && begun.resolve());
  createInterface(tshark.stdout).on("line", (line) => line === MARK && marked.resolve());
  const ended = exited.then(() => {
    throw new Error("tshark has ended");
  });
  try {
    await Promise.race([begun.promise, ended]);
    const result = await act();
    await mark(ports.udp);
    await Promise.race([marked.promise, ended]);
    return result;
  } finally {
    ended.catch(() => {});
    tshark.kill("SIGINT");
    await exited;
  }
}

/** Code 03: nothing else in a conversation has it. */
const MARK = "0x03";

/** A header NACK, which no entity answers: what was before it has been captured once it has. */
async function mark(udp: number): Promise<void> {
  const socket = createSocket("udp4");
  const datagram = Buffer.concat(encodeFrame({ type: PayloadType.headerNack, code: 0x03 }, 2));
  await new Promise((sent) => socket.send(datagram, udp, "127.0.0.1", sent));
  socket.close();
}
