import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Type } from "typebox";
import { topicHandler } from "#server/mqtt/handler.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startBroker, type OwnBroker } from "./own-broker.ts";
import { connectWire, publishPacket } from "./wire.ts";

/** Messages in the order in which they were handled, held until the test ends them. */
let handled: { vin: string; n: number; well: () => void; badly: (error: Error) => void }[] = [];
let broker: OwnBroker;
const { path, remove } = temporaryFolder();

beforeAll(async () => {
  broker = await startBroker(path, () => [
    topicHandler({
      topic: "control/response",
      schema: Type.Object({ n: Type.Integer() }),
      ordered: true,
      handle: (vin, { n }) =>
        new Promise<void>((well, badly) => handled.push({ vin, n, well, badly })),
    }),
  ]);
});
afterAll(async () => {
  for (const { well } of handled) well();
  await broker.mqtt.close();
  remove();
});
beforeEach(() => {
  handled = [];
});

const message = (vin: string, n: number) =>
  publishPacket(`vehicle/${vin}/control/response`, { n }, { qos: 1, id: n });

const order = () => handled.map(({ n }) => n);
const begun = (count: number) =>
  vi.waitFor(() => expect(handled).toHaveLength(count), { interval: 1 });

describe("messages whose order matters", () => {
  it("wait for those before them, but not for another vehicle's", async () => {
    const one = await connectWire(broker, "VMG-1");
    const other = await connectWire(broker, "VMG-2");
    one.send(message("VMG-1", 1), message("VMG-1", 2));
    await begun(1);
    other.send(message("VMG-2", 9));
    await begun(2);
    expect(order()).toEqual([1, 9]);
    handled[0]?.well();
    expect(await one.next()).toBe("40020001");
    await begun(3);
    one.send(message("VMG-1", 3), Buffer.of(0xc0, 0));
    // It has been read by now.
    expect(await one.next()).toBe("d000");
    expect(order()).toEqual([1, 9, 2]);
    handled[2]?.well();
    expect(await one.next()).toBe("40020002");
    await begun(4);
    for (const { well } of handled) well();
    expect(await one.next()).toBe("40020003");
    one.socket.destroy();
    other.socket.destroy();
  });

  it("wait also for those of the vehicle's connection before", async () => {
    const first = await connectWire(broker, "VMG-1");
    first.send(message("VMG-1", 1), message("VMG-1", 2));
    await begun(1);
    first.socket.destroy();
    const second = await connectWire(broker, "VMG-1");
    second.send(message("VMG-1", 3), Buffer.of(0xc0, 0));
    // It has been read by now.
    expect(await second.next()).toBe("d000");
    expect(order()).toEqual([1]);
    for (let count = 1; count <= 3; count++) {
      await begun(count);
      handled[count - 1]?.well();
    }
    expect(await second.next()).toBe("40020003");
    expect(order()).toEqual([1, 2, 3]);
    second.socket.destroy();
  });

  it("are not handled behind one that failed until the vehicle sends them again", async () => {
    const first = await connectWire(broker, "VMG-1");
    first.send(message("VMG-1", 1), message("VMG-1", 2));
    await begun(1);
    handled[0]?.badly(new Error("database down"));
    expect(await first.next()).toBe("closed");
    const second = await connectWire(broker, "VMG-1");
    second.send(message("VMG-1", 1), message("VMG-1", 2));
    await begun(2);
    handled[1]?.well();
    await begun(3);
    handled[2]?.well();
    expect([await second.next(), await second.next()]).toEqual(["40020001", "40020002"]);
    expect(order()).toEqual([1, 1, 2]);
    second.socket.destroy();
  });
});
