import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connectDoip, DoipConnectError, type DoipClient } from "#protocol/doip/client.ts";
import { PayloadType } from "#protocol/doip/codes.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import type { DoipMessage } from "#protocol/doip/frame.ts";
import { listenDoip, type DoipConnection, type DoipListener } from "#protocol/doip/listener.ts";
import { systemClock } from "#protocol/doip/clock.ts";
import type { AckOutcome } from "#protocol/doip/tester.ts";
import { config } from "./entity-table.ts";
import { manualClock, settle, type ManualClock } from "./manual-clock.ts";
import { rawSocket } from "./raw-socket.ts";

const ACTIVATE = "02fd0005000000070e800000000000";
const ACTIVATED = "02fd0006000000090e8010001000000000";
const REQUEST = "02fd8001000000070e80100122f190";
const BEHIND = 0x1001;

let clock: ManualClock;
let listener: DoipListener;
let clients: DoipClient[];
let onDiagnostic: (connection: DoipConnection, message: DiagnosticMessage) => void;

beforeEach(async () => {
  clock = manualClock();
  clients = [];
  onDiagnostic = () => {};
  listener = await listenDoip({
    host: "127.0.0.1",
    port: 0,
    entity: config,
    clock,
    onDiagnostic: (connection, message) => onDiagnostic(connection, message),
  });
});

afterEach(async () => {
  for (const client of clients) client.close();
  await listener.close();
});

const response = (message: DiagnosticMessage, userData: Uint8Array): DoipMessage => ({
  type: PayloadType.diagnosticMessage,
  source: message.target,
  target: message.source,
  userData,
});

const ack = (message: DiagnosticMessage): DoipMessage => ({
  type: PayloadType.diagnosticAck,
  source: message.target,
  target: message.source,
  code: 0,
  previous: new Uint8Array(0),
});

interface Heard {
  messages: DiagnosticMessage[];
  ends: string[];
}

async function client(source = 0x0e80, heard: Heard = { messages: [], ends: [] }) {
  const connected = await connectDoip({
    host: "127.0.0.1",
    port: listener.port,
    source,
    clock: systemClock,
    connectMs: 10_000,
    ackMs: 10_000,
    maxPayload: 0xffff,
    onMessage: (message) => heard.messages.push(message),
    onClosed: (reason) => heard.ends.push(reason),
  });
  clients.push(connected);
  return connected;
}

const sent = (to: DoipClient, target: number, bytes: number[]) =>
  new Promise<AckOutcome>((resolve) => {
    to.send(target, Uint8Array.from(bytes), resolve);
  });

describe("the listener", () => {
  test("activates routing on the wire", async () => {
    const raw = await rawSocket(listener.port);
    raw.send(ACTIVATE);
    expect(await raw.receive(ACTIVATED.length / 2)).toBe(ACTIVATED);
  });

  test("answers in the version it was asked in", async () => {
    const raw = await rawSocket(listener.port);
    raw.send("03fc0005000000070e800000000000");
    expect(await raw.receive(17)).toBe(ACTIVATED.replace("02fd", "03fc"));
  });

  test("closes a socket that is not activated within 2 s", async () => {
    const raw = await rawSocket(listener.port);
    const unknown = "02fd400100000000";
    raw.send(unknown);
    await raw.receive(9);
    clock.advance(1_999);
    raw.send(unknown);
    await raw.receive(9);
    clock.advance(1);
    expect(await raw.closed()).toBe("");
  });

  test("closes an activated socket after 5 minutes of silence, each message starting them anew", async () => {
    const raw = await rawSocket(listener.port);
    raw.send(ACTIVATE);
    await raw.receive(17);
    clock.advance(299_999);
    raw.send("02fd8001000000050e80e40022");
    await raw.receive(13);
    clock.advance(299_999);
    raw.send(ACTIVATE);
    expect(await raw.receive(17)).toBe(ACTIVATED);
    clock.advance(300_000);
    expect(await raw.closed()).toBe("");
  });

  test.each([
    ["a wrong inverse version", "02fc0005000000070e800000000000", "02fd00000000000100"],
    ["a length its type does not have", "02fd000500000008", "02fd00000000000104"],
    ["a diagnostic message without data", "02fd8001000000040e801001", "02fd00000000000104"],
  ])("refuses %s and closes", async (_, frame, nack) => {
    const raw = await rawSocket(listener.port);
    raw.send(frame);
    expect(await raw.closed()).toBe(nack);
  });

  test("still delivers the NACK when the other side goes on sending", async () => {
    const raw = await rawSocket(listener.port);
    raw.send("ffff", "00".repeat(100_000));
    expect(await raw.closed()).toBe("02fd00000000000100");
  });

  test("skips what it does not know and what is too large", async () => {
    const raw = await rawSocket(listener.port);
    raw.send("02fd4001000000020102", `02fd8001000f4240${"00".repeat(1_000_000)}`, ACTIVATE);
    expect(await raw.receive(9)).toBe("02fd00000000000101");
    expect(await raw.receive(9)).toBe("02fd00000000000102");
    expect(await raw.receive(17)).toBe(ACTIVATED);
  });

  test("refuses diagnostics before the activation, and closes", async () => {
    const raw = await rawSocket(listener.port);
    raw.send(REQUEST, ACTIVATE);
    expect(await raw.closed()).toBe("02fd80030000000510010e8002");
  });

  test("takes requests that come without waiting, in their order", async () => {
    const bytes: number[] = [];
    onDiagnostic = (_, { userData }) => bytes.push(userData[0] ?? 0);
    const raw = await rawSocket(listener.port);
    const requests = [1, 2, 3, 4].map((n) => `02fd8001000000050e80e4000${n}`);
    raw.send(ACTIVATE + requests.join(""));
    await raw.receive(17 + 4 * 13);
    expect(bytes).toEqual([1, 2, 3, 4]);
  });

  test("holds the next message back while its receiver pauses", async () => {
    const taken: number[] = [];
    let held: DoipConnection | undefined;
    onDiagnostic = (connection, { userData }) => {
      taken.push(userData[0] ?? 0);
      held = connection;
      connection.pause();
    };
    const raw = await rawSocket(listener.port);
    raw.send(`${ACTIVATE}02fd8001000000050e80e4000102fd8001000000050e80e40002`);
    await raw.receive(17 + 13);
    await settle();
    expect(taken).toEqual([1]);
    held?.resume();
    await raw.receive(13);
    expect(taken).toEqual([1, 2]);
  });

  test("takes no more from a tester that does not read its answers", async () => {
    const answer = new Uint8Array(60_000);
    let taken = 0;
    onDiagnostic = (connection, message) => {
      taken += 1;
      connection.send(response(message, answer));
    };
    const raw = await rawSocket(listener.port);
    raw.send(ACTIVATE);
    await raw.receive(17);
    raw.socket.pause();
    const COUNT = 400;
    raw.send("02fd8001000000050e80e40001".repeat(COUNT));
    let before = -1;
    // Nothing tells when the buffers are full but that the count stands still.
    for (let still = 0; still < 50; still = taken === before ? still + 1 : 0) {
      before = taken;
      await settle();
    }
    expect(taken).toBeLessThan(COUNT);
    raw.socket.resume();
    await raw.receive(COUNT * (13 + 12 + answer.length));
    expect(taken).toBe(COUNT);
  });

  test("resets connections while it is offline", async () => {
    const raw = await rawSocket(listener.port);
    raw.send(ACTIVATE);
    await raw.receive(17);
    listener.goOffline();
    expect(await raw.closed()).toBe("");
    await expect(client()).rejects.toBeInstanceOf(DoipConnectError);
    listener.goOnline();
    await client();
  });
});

describe("the client", () => {
  test("sends and hears acknowledgement and answer in their order", async () => {
    onDiagnostic = (connection, message) => {
      connection.send(ack(message));
      connection.send(response(message, Uint8Array.of(0x7e, 0)));
    };
    const heard: Heard = { messages: [], ends: [] };
    const connected = await client(0x0e80, heard);
    const outcome = await new Promise<AckOutcome>((resolve) => {
      connected.send(BEHIND, Uint8Array.of(0x3e, 0), (result) => {
        expect(heard.messages).toEqual([]);
        resolve(result);
      });
    });
    expect(outcome).toEqual({ kind: "acknowledged" });
    await settle();
    expect(heard.messages).toMatchObject([{ source: BEHIND, target: 0x0e80 }]);
  });

  test("hears a refusal with its code", async () => {
    const outcome = await sent(await client(), 0x4444, [0x3e, 0]);
    expect(outcome).toEqual({ kind: "refused", code: 3 });
  });

  test("is told why it was not let in", async () => {
    await expect(client(0x0001)).rejects.toMatchObject({
      code: "DOIP_CONNECT",
      message: expect.stringContaining("0x00"),
    });
  });

  test("is told that nobody listens", async () => {
    const { port } = listener;
    await listener.close();
    await expect(
      connectDoip({
        host: "127.0.0.1",
        port,
        source: 0x0e80,
        clock: systemClock,
        connectMs: 10_000,
        ackMs: 10_000,
        maxPayload: 0xffff,
        onMessage() {},
        onClosed() {},
      }),
    ).rejects.toMatchObject({
      code: "DOIP_CONNECT",
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  test("loses what was under way with the connection", async () => {
    const heard: Heard = { messages: [], ends: [] };
    const connected = await client(0x0e80, heard);
    onDiagnostic = () => listener.goOffline();
    expect(await sent(connected, BEHIND, [0x3e, 0])).toMatchObject({ kind: "lost" });
    expect(heard.ends).toHaveLength(1);
    expect(await sent(connected, BEHIND, [0x3e, 0])).toMatchObject({ kind: "lost" });
  });

  test("keeps its place when the same source comes a second time", async () => {
    const first: Heard = { messages: [], ends: [] };
    await client(0x0e80, first);
    await expect(client(0x0e80)).rejects.toMatchObject({
      message: expect.stringContaining("0x03"),
    });
    expect(first.ends).toEqual([]);
  });

  test("loses its place when it does not prove that it is alive", async () => {
    const raw = await rawSocket(listener.port);
    raw.send(ACTIVATE);
    await raw.receive(17);
    const second = client(0x0e80);
    expect(await raw.receive(8)).toBe("02fd000700000000");
    clock.advance(500);
    expect(await raw.closed()).toBe("");
    await second;
  });

  test("is refused when all sockets are alive, let in when one is not", async () => {
    const raw = await rawSocket(listener.port);
    raw.send(ACTIVATE);
    await raw.receive(17);
    await client(0x0e81);
    const third = client(0x0e82);
    await raw.receive(8);
    raw.send("02fd0008000000020e80");
    await expect(third).rejects.toMatchObject({ message: expect.stringContaining("0x01") });
    const fourth = client(0x0e83);
    await raw.receive(8);
    await settle();
    clock.advance(500);
    expect(await raw.closed()).toBe("");
    await fourth;
  });
});
