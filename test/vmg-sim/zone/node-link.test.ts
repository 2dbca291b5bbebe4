import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "#protocol/doip/clock.ts";
import type { AckOutcome } from "#protocol/doip/tester.ts";
import { settle } from "#test/protocol/doip/manual-clock.ts";
import { nodeLink, type NodeLink } from "#vmg-sim/network/node-link.ts";

const ECU = 0x1001;
const ACTIVATED = "02fd0006000000090e8010011000000000";
const ACK = "02fd80020000000510010e8000";
const MALFORMED = "ffffffffffffffff";

const CLOSE = "close";

/** A server that answers what comes on its n-th connection with the n-th list, then stays silent. */
async function scripted(...connections: string[][]) {
  const server = createServer((socket) => {
    const answers = connections.shift() ?? [];
    socket.on("error", () => {});
    socket.on("data", () => {
      const answer = answers.shift();
      if (answer === CLOSE) socket.destroy();
      else if (answer !== undefined) socket.write(Buffer.from(answer, "hex"));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const link = nodeLink({
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    source: 0x0e80,
    clock: systemClock,
    onMessage() {},
    onDrain() {},
  });
  const stop = () => {
    link.close();
    server.close();
  };
  return { link, stop };
}

const forwarded = (link: NodeLink) =>
  new Promise<AckOutcome["kind"]>((resolve) => {
    link.forward(ECU, Uint8Array.of(0x3e, 0x00), ({ kind }) => resolve(kind));
  });

test.each([
  ["does not activate", [[CLOSE]]],
  ["breaks off together with its activation", [[ACTIVATED + MALFORMED]]],
  ["breaks off instead of acknowledging", [[ACTIVATED, CLOSE]]],
  ["sends nonsense instead of acknowledging", [[ACTIVATED, MALFORMED]]],
])("an ECU that %s loses its message, and is reached with the next one", async (_, first) => {
  const { link, stop } = await scripted(...first, [ACTIVATED, ACK, ACK]);
  expect(await forwarded(link)).toBe("lost");
  // The end of the connection may reach us a little after the loss of the message.
  let next = await forwarded(link);
  for (let tries = 0; next === "lost" && tries < 3; tries++) next = await forwarded(link);
  expect(next).toBe("acknowledged");
  expect(await forwarded(link)).toBe("acknowledged");
  stop();
});

test("messages wait for the connection in their order, and hold their sender when they are many", async () => {
  const { link, stop } = await scripted([ACTIVATED, ACK.repeat(16)]);
  const outcomes = Array.from({ length: 16 }, () => forwarded(link));
  expect(link.congested).toBe(true);
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["acknowledged"]));
  expect(link.congested).toBe(false);
  stop();
});

test("a link that was closed while it connected asks for nothing any more", async () => {
  const { link, stop } = await scripted([ACTIVATED, ACK]);
  let told = 0;
  link.forward(ECU, Uint8Array.of(0x3e, 0x00), () => {
    told += 1;
  });
  link.close();
  for (let i = 0; i < 50; i++) await settle();
  expect(told).toBe(0);
  stop();
});
