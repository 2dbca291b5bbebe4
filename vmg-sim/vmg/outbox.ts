import { appendFile } from "node:fs/promises";
import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";
import { readIfPresent } from "#crypto/exclusive-file.ts";
import { replaceFile, serially } from "./state-file.ts";

const Message = Type.Object({
  seq: Type.Integer({ minimum: 1 }),
  topic: Type.String(),
  payload: Type.String(),
});
/** A message that must reach the gateway, also after a restart of the VMG. */
export type OutboxMessage = Readonly<Static<typeof Message>>;

const Acknowledgement = Type.Object({ acknowledged: Type.Integer() });

/**
 * Messages in the order they were put in, kept in a journal until they are acknowledged. The
 * journal has a line for each message and one for each acknowledgement.
 */
export interface Outbox {
  readonly size: number;
  /** Resolves once the message is in the journal; waits while the outbox is full. */
  put(topic: string, payload: string): Promise<void>;
  /** The oldest message; undefined when there is none. */
  first(): OutboxMessage | undefined;
  /** Takes the oldest message out: the gateway has it. */
  acknowledge(seq: number): Promise<void>;
  /** Called after each `put`. */
  onPut(listener: () => void): void;
  /** Lets nothing more in, refuses those that wait for room, and finishes writing. */
  close(): Promise<void>;
}

const CAPACITY = 1000;
/** The journal is written anew when it has this many lines for each message it may hold. */
const LINES_PER_MESSAGE = 4;

const isMessage = Compile(Message);
const isAcknowledgement = Compile(Acknowledgement);

/** Opens the journal with what an earlier run left in it. */
export async function openOutbox(file: string, capacity = CAPACITY): Promise<Outbox> {
  const messages = replay((await readIfPresent(file)) ?? "");
  // Also rids the journal of a line that a kill cut short.
  await replaceFile(file, journal(messages));
  let seq = messages.at(-1)?.seq ?? 0;
  let lines = messages.length;
  let notify = () => {};
  let closed = false;
  const waiting: (() => void)[] = [];
  const inOrder = serially();
  const mustWait = () => !closed && messages.length >= capacity;

  // A message is in `messages` before its line is written, so writing the journal anew may store
  // it twice, never lose it.
  const append = (line: object) =>
    inOrder(async () => {
      if (messages.length === 0 || ++lines > LINES_PER_MESSAGE * capacity) {
        await replaceFile(file, journal(messages));
        lines = messages.length;
        return;
      }
      await appendFile(file, `${JSON.stringify(line)}\n`);
    });

  return {
    get size() {
      return messages.length;
    },
    async put(topic, payload) {
      while (mustWait()) {
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
      if (closed) throw new Error("the outbox is closed");
      const message = { seq: ++seq, topic, payload };
      messages.push(message);
      await append(message);
      notify();
    },
    first: () => messages[0],
    async acknowledge(acknowledged) {
      if (messages[0]?.seq !== acknowledged) return;
      messages.shift();
      waiting.shift()?.();
      await append({ acknowledged });
    },
    onPut(listener) {
      notify = listener;
    },
    async close() {
      closed = true;
      for (const wake of waiting.splice(0)) wake();
      await inOrder(() => Promise.resolve());
    },
  };
}

function journal(messages: readonly OutboxMessage[]): string {
  return messages.map((message) => `${JSON.stringify(message)}\n`).join("");
}

function replay(text: string): OutboxMessage[] {
  const messages = new Map<number, OutboxMessage>();
  for (const line of text.split("\n")) {
    const entry = parseLine(line);
    if (isMessage.Check(entry)) messages.set(entry.seq, entry);
    else if (isAcknowledgement.Check(entry)) messages.delete(entry.acknowledged);
  }
  return [...messages.values()].sort((a, b) => a.seq - b.seq);
}

/** Undefined for the last line of a run that was killed while it wrote. */
function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
