import { spawn, type ChildProcess, type SpawnOptions, type StdioOptions } from "node:child_process";
import { availableParallelism } from "node:os";

/** A process of one side of a comparison. */
export interface Child {
  pid: number;
  /** Resolves with the exit code when it has ended; null when a signal ended it. */
  ended: Promise<number | null>;
  hasEnded(): boolean;
  /** What it has written to standard output and error, unless `output` sent it elsewhere. */
  output(): string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface ChildOptions {
  /** Which part of the machine it gets, where there are two cores or more. */
  core?: "server" | "client";
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Numeric user and group to run as. */
  user?: { uid: number; gid: number };
  /** File descriptor for standard output and error; by default they are gathered. */
  output?: number;
}

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Runs a program, killed when the benchmark ends however it ends. */
export function start(command: readonly string[], options: ChildOptions = {}): Child {
  const [program = "", ...args] = [...pinned(options.core), ...command];
  const stdio: StdioOptions = ["ignore", options.output ?? "pipe", options.output ?? "pipe"];
  const spawned: SpawnOptions = { stdio, env: options.env ?? process.env, ...options.user };
  if (options.cwd !== undefined) spawned.cwd = options.cwd;
  const child = spawn(program, args, spawned);
  running.add(child);
  let written = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => (written += chunk.toString()));
  }
  const ended = new Promise<number | null>((done, fail) => {
    child.once("error", fail);
    child.once("close", (code) => {
      running.delete(child);
      done(code);
    });
  });
  ended.catch(() => running.delete(child));
  return {
    pid: child.pid ?? 0,
    ended,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    output: () => written,
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      await ended;
    },
  };
}

/**
 * Runs a program to its end and returns what it wrote.
 * @throws Error with its output when it fails
 */
export async function run(
  command: readonly string[],
  options: ChildOptions = {},
): Promise<{ output: string; seconds: number }> {
  const began = performance.now();
  const child = start(command, options);
  const code = await child.ended;
  const seconds = (performance.now() - began) / 1000;
  if (code !== 0) {
    throw new Error(`${command.join(" ")} ended with ${code}:\n${child.output()}`);
  }
  return { output: child.output(), seconds };
}

/** Server and client of both sides get the same cores, so that neither takes the other's time. */
function pinned(core: ChildOptions["core"]): string[] {
  if (core === undefined || process.platform !== "linux" || availableParallelism() < 2) return [];
  return ["taskset", "--cpu-list", core === "server" ? "1" : "0"];
}
