import { appendFileSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";
import { openOutbox, type Outbox } from "#vmg-sim/vmg/outbox.ts";

async function drain(outbox: Outbox): Promise<string[]> {
  const payloads: string[] = [];
  for (let next = outbox.first(); next; next = outbox.first()) {
    payloads.push(next.payload);
    await outbox.acknowledge(next.seq);
  }
  return payloads;
}

const journal = () => join(testFolder(), "outbox.jsonl");

describe("outbox", () => {
  it("gives messages back in their order, once each", async () => {
    const outbox = await openOutbox(journal());
    await Promise.all(["a", "b", "c"].map((payload) => outbox.put("t", payload)));
    expect(await drain(outbox)).toEqual(["a", "b", "c"]);
    expect(outbox.first()).toBeUndefined();
  });

  it("has after a kill what was not acknowledged before it", async () => {
    const file = journal();
    const killed = await openOutbox(file);
    for (const payload of ["a", "b", "c", "d"]) await killed.put("t", payload);
    await killed.acknowledge(killed.first()?.seq ?? 0);
    await killed.acknowledge(killed.first()?.seq ?? 0);
    const again = await openOutbox(file);
    await again.put("t", "e");
    expect(await drain(again)).toEqual(["c", "d", "e"]);
  });

  it("leaves out a line that a kill cut short, and nothing after it", async () => {
    const file = journal();
    const killed = await openOutbox(file);
    await killed.put("t", "a");
    appendFileSync(file, '{"seq":2,"topic":"t","payl');
    const again = await openOutbox(file);
    await again.put("t", "b");
    expect(await drain(await openOutbox(file))).toEqual(["a", "b"]);
  });

  it("ignores an acknowledgement that does not belong to the oldest message", async () => {
    const outbox = await openOutbox(journal());
    await outbox.put("t", "a");
    await outbox.acknowledge(99);
    expect(outbox.size).toBe(1);
  });

  it("makes the sender wait while it is full", async () => {
    const outbox = await openOutbox(journal(), 2);
    await outbox.put("t", "a");
    await outbox.put("t", "b");
    let isIn = false;
    const third = outbox.put("t", "c").then(() => (isIn = true));
    await outbox.acknowledge(99);
    expect(isIn).toBe(false);
    await outbox.acknowledge(outbox.first()?.seq ?? 0);
    await third;
    expect(await drain(outbox)).toEqual(["b", "c"]);
  });

  it("refuses whoever waits for room when it is closed", async () => {
    const outbox = await openOutbox(journal(), 1);
    await outbox.put("t", "a");
    const [waiting] = await Promise.allSettled([outbox.put("t", "b"), outbox.close()]);
    expect(waiting.status).toBe("rejected");
    await expect(outbox.put("t", "c")).rejects.toThrow("closed");
  });

  it("does not let the journal grow with what is long acknowledged", async () => {
    const file = journal();
    const outbox = await openOutbox(file, 10);
    await outbox.put("t", "first");
    for (let i = 0; i < 500; i++) {
      await outbox.put("t", `message ${i}`);
      await outbox.acknowledge(outbox.first()?.seq ?? 0);
    }
    expect(statSync(file).size).toBeLessThan(5000);
    expect(readFileSync(file, "utf8")).toContain("message 499");
    expect(await drain(await openOutbox(file))).toEqual(["message 499"]);
  });
});
