import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { PYTHON } from "#test/helpers/optional.ts";

const program = fileURLToPath(new URL("doip_conformance.py", import.meta.url));
const run = promisify(execFile);

/** The entity that is examined, and what it is expected to stand for. */
export interface Examined {
  tcp: number;
  udp: number;
  vin: string;
  /** Addresses; the second one's ECU takes longer than P2. */
  ecus: readonly [number, number];
  group: number;
  /** Whoever answers a request to the group. */
  members: readonly number[];
}

interface Manner {
  version?: 2 | 3;
  /** A new file for all that is said and heard. */
  capture?: string;
  /** TLS, with what it needs as files. */
  tls?: { ca: string; certificate: string; key: string };
}

/**
 * Holds a DoIP entity against ISO 13400-2 by a tester that shares no code with it: what has to go
 * well, or what has to be refused. Needs the peer "python3".
 * @returns the first deviation from the standard, or "no deviation"
 */
export async function examine(
  what: "conversation" | "refusals",
  entity: Examined,
  { version = 2, capture, tls }: Manner = {},
): Promise<string> {
  const { tcp, udp, vin, ecus, group, members } = entity;
  const given = {
    ...{ host: "127.0.0.1", tcp, udp, vin, ecus, group, members },
    ...{ tester: 0x0e40, version, capture: capture ?? null, tls: tls ?? null },
  };
  try {
    await run(PYTHON, ["-B", program, what, JSON.stringify(given)]);
    return "no deviation";
  } catch (error) {
    return (error as { stderr: string }).stderr;
  }
}
