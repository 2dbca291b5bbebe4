import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Type } from "typebox";
import { topicHandler } from "#server/mqtt/handler.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startBroker, type OwnBroker } from "./own-broker.ts";
import { connectPacket, connectWire, openWire, publishPacket, text } from "./wire.ts";

const vin = "VMG-001";
const topic = `vehicle/${vin}/diagnostics`;
let broker: OwnBroker;
let folder: ReturnType<typeof temporaryFolder>;
/** Messages that are being handled: ends the first of them. */
let held: (() => void)[];
let handled: number;
let begun: () => void;

const nextTurn = () => new Promise<void>((turn) => setImmediate(turn));
const nextMessage = () =>
  new Promise<void>((done) => {
    begun = done;
  });

beforeEach(async () => {
  folder = temporaryFolder();
  held = [];
  handled = 0;
  begun = () => {};
  broker = await startBroker(folder.path, () => [
    topicHandler({
      topic: "diagnostics",
      schema: Type.Object({}),
      handle: () => {
        begun();
        return new Promise<void>((done) => held.push(done)).then(() => void handled++);
      },
    }),
  ]);
});
afterEach(async () => {
  for (const end of held) end();
  await broker.mqtt.close();
  folder.remove();
});

describe("a listener that is stopped", () => {
  it("takes no more from a vehicle that keeps sending, and acknowledges what it has taken", async () => {
    const wire = await connectWire(broker, vin);
    let id = 0;
    const send = () => wire.send(publishPacket(topic, {}, { qos: 1, id: (id++ % 60_000) + 1 }));
    let acknowledged = 0;
    const reading = (async () => {
      while ((await wire.next()) !== "closed") {
        acknowledged++;
        send();
      }
    })();
    for (let i = 0; i < 100; i++) send();
    while (held.length < 50) await nextTurn();
    for (let i = 0; i < 100; i++) {
      held.shift()?.();
      await nextTurn();
    }
    let open = true;
    const closing = broker.mqtt.close().finally(() => {
      open = false;
    });
    // Each that ends has the vehicle send another one.
    while (open) {
      held.shift()?.();
      await nextTurn();
    }
    await closing;
    await reading;
    expect(acknowledged).toBe(handled);
    expect(handled).toBeGreaterThan(100);
  });

  it("takes nothing from a vehicle that connects meanwhile", async () => {
    const wire = await connectWire(broker, vin);
    const late = await openWire(broker, "VMG-002");
    const begins = nextMessage();
    wire.send(publishPacket(topic, {}, { qos: 1, id: 7 }));
    await begins;
    const closing = broker.mqtt.close();
    late.send(connectPacket("VMG-002"));
    expect(await late.next()).toBe("20020000");
    late.send(Buffer.of(0xc0, 0));
    for (let i = 0; i < 20; i++) await nextTurn();
    held.shift()?.();
    expect(await wire.next()).toBe("40020007");
    expect(await wire.next()).toBe("closed");
    expect(await late.next()).toBe("closed");
    await closing;
  });

  it("has stored the wills of those that it cut off", async () => {
    const flags = 2 + 4;
    await connectWire(broker, vin, { flags, rest: [text(topic), text("{}")] });
    const begins = nextMessage();
    let open = true;
    const closing = broker.mqtt.close().finally(() => {
      open = false;
    });
    await begins;
    for (let i = 0; i < 20; i++) await nextTurn();
    expect(open).toBe(true);
    held.shift()?.();
    await closing;
    expect(handled).toBe(1);
  });
});
