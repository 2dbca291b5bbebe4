import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { TestContext } from "vitest";

interface Optional {
  present: () => boolean;
  /** What to do to have it. */
  how: string;
}

/** Project Wycheproof's vectors, beside the repository. */
export const vectorsFolder = new URL("../../../shared/vectors/", import.meta.url);

/** The system's own, which has Debian's packages; another one on the PATH has not. */
export const PYTHON = "/usr/bin/python3";

/** How programs are run that are a visit of Scapy's tester (`scapy_tester.py`). */
export const SCAPY_TESTER = {
  env: { ...process.env, PYTHONPATH: import.meta.dirname, PYTHONDONTWRITEBYTECODE: "1" },
};

const RAW_SOCKET =
  "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)";

/** What some tests need beyond `npm ci`; without it they are left out. */
const optional = {
  postgresql: {
    present: () => Boolean(process.env["LATTICEWAY_TEST_POSTGRES"]),
    how: "LATTICEWAY_TEST_POSTGRES=postgres://superuser:password@host:port/postgres",
  },
  tar: { present: () => versionOf("tar", "--version").includes("GNU tar"), how: "install GNU tar" },
  zstd: { present: () => versionOf("zstd", "--version") !== "", how: "install zstd" },
  openssl: { present: () => opensslVersion() >= 3, how: "install OpenSSL" },
  "openssl-3.5": { present: () => opensslVersion() >= 3.05, how: "put OpenSSL 3.5 on the PATH" },
  "docker-compose": {
    present: () => versionOf("docker-compose", "version") !== "",
    how: "install docker-compose",
  },
  scapy: {
    present: () => versionOf(PYTHON, "-c", "import scapy.contrib.automotive.doip; print(1)") !== "",
    how: "install python3-scapy",
  },
  "raw-socket": {
    present: () => versionOf(PYTHON, "-c", `${RAW_SOCKET}; print(1)`) !== "",
    how: "install python3 and run as root",
  },
  tshark: { present: () => versionOf("tshark", "--version") !== "", how: "install tshark" },
  capture: {
    present: () => versionOf("dumpcap", "-i", "lo", "-L") !== "",
    how: "install tshark and run as root",
  },
  python3: { present: () => versionOf(PYTHON, "--version") !== "", how: "install python3" },
  vectors: {
    present: () => existsSync(vectorsFolder),
    how: "put Wycheproof's vectors into ../shared/vectors",
  },
} as const satisfies Record<string, Optional>;
export type OptionalName = keyof typeof optional;

const known = new Map<OptionalName, boolean>();

function isPresent(name: OptionalName): boolean {
  const present = known.get(name) ?? optional[name].present();
  known.set(name, present);
  return present;
}

/** Skips the test on a machine without `name`; the run's first lines say how to include it. */
export function requirePeer(context: TestContext, name: OptionalName): void {
  context.skip(!isPresent(name), `left out: needs ${name}`);
}

/**
 * What a run on this machine leaves out, one line each.
 * @param required comma-separated names that must not be left out, as in LATTICEWAY_REQUIRE
 * @throws naming each one that is required and absent, or that nobody knows
 */
export function leftOut(required: string, present = isPresent): string[] {
  const names = Object.keys(optional) as OptionalName[];
  const absent = names.filter((name) => !present(name));
  const problems = required
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
    .flatMap((name) => {
      if (!(names as string[]).includes(name)) return [`${name}: known are ${names.join(", ")}`];
      const missing = absent.find((each) => each === name);
      return missing ? [`${missing} is not here: ${optional[missing].how}`] : [];
    });
  if (problems.length > 0) throw new Error(`LATTICEWAY_REQUIRE: ${problems.join("; ")}`);
  return absent.map((name) => `${name} (to include it: ${optional[name].how})`);
}

function versionOf(program: string, ...command: string[]): string {
  const { status, stdout } = spawnSync(program, command, { encoding: "utf8" });
  return status === 0 ? stdout : "";
}

/** 3.05 for OpenSSL 3.5, so that 3.10 is more; 0 without one. */
function opensslVersion(): number {
  const [, major, minor] = /^OpenSSL (\d+)\.(\d+)/.exec(versionOf("openssl", "version")) ?? [];
  return Number(major ?? 0) + Number(minor ?? 0) / 100;
}
