import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { UsageError } from "./usage-error.ts";

/** Asks on the terminal. @returns undefined when there is no answer, by Ctrl+D or Ctrl+C */
export async function ask(question: string): Promise<string | undefined> {
  return answerTo(question, process.stderr);
}

/** The same without showing what is typed. */
export async function askHidden(question: string): Promise<string | undefined> {
  process.stderr.write(question);
  const hidden = new Writable({ write: (_chunk, _encoding, done) => done() });
  const answer = await answerTo("", hidden);
  process.stderr.write("\n");
  return answer;
}

async function answerTo(question: string, output: NodeJS.WritableStream) {
  const terminal = createInterface({ input: process.stdin, output, terminal: true });
  const closed = Promise.withResolvers<undefined>();
  terminal.once("close", () => closed.resolve(undefined));
  // Ctrl+C rejects the question, Ctrl+D leaves it unanswered.
  const typed = terminal.question(question).catch(() => undefined);
  const answer = await Promise.race([typed, closed.promise]);
  terminal.close();
  return answer;
}

/** Passwords are short. */
const MAX_STDIN = 16_384;

/** The lines of what is piped in. */
export async function stdinLines(): Promise<string[]> {
  return (await text(process.stdin)).slice(0, MAX_STDIN).split(/\r?\n/);
}

/**
 * Has a person say yes to what can't be taken back.
 * @throws UsageError where nobody can be asked, or says something else
 */
export async function demandYes(what: string, { yes }: { yes?: boolean }): Promise<void> {
  if (yes === true) return;
  if (!process.stdin.isTTY) throw new UsageError(`${what} With --yes it is done unasked.`);
  const answer = await ask(`${what} Type yes to go on: `);
  if (answer?.trim().toLowerCase() !== "yes") throw new UsageError("Nothing was done.");
}
