import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PayloadType } from "#protocol/doip/codes.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import { ackOf, nackOf } from "#protocol/doip/entity.ts";
import { listenDoip, type DoipConnection } from "#protocol/doip/listener.ts";
import { config as entityConfig } from "#test/protocol/doip/entity-table.ts";
import { manualClock, settle } from "#test/protocol/doip/manual-clock.ts";
import { rawSocket } from "#test/protocol/doip/raw-socket.ts";
import { ecuConfig } from "#test/vmg-sim/ecu/ecu-rig.ts";
import { startEcuNode } from "#vmg-sim/ecu/node.ts";
import { startZone } from "#vmg-sim/zone/zone.ts";

const ACTIVATE = "02fd0005000000070e800000000000";
const REQUEST = "02fd8001000000060e8010013e00";
const ACK = "02fd80020000000510010e8000";
const NO_ROOM = "02fd80030000000510010e8005";
const ANSWER = "02fd80010000000610010e807e00";
const ECU = 0x1001;

test("an ECU takes sixteen requests and refuses more until it has room", async () => {
  const folder = await mkdtemp(join(tmpdir(), "latticeway-pressure-"));
  const clock = manualClock();
  const node = await startEcuNode({
    config: ecuConfig,
    stateFolder: folder,
    clock,
    behaviour: { slowMs: 10 },
    host: "127.0.0.1",
    functionalAddresses: [],
  });
  const raw = await rawSocket(node.port);
  raw.send(ACTIVATE);
  await raw.receive(17);
  raw.send(REQUEST.repeat(20));
  const expected = ACK.repeat(16) + NO_ROOM.repeat(4);
  expect(await raw.receive(expected.length / 2)).toBe(expected);

  const answers = raw.receive((16 * ANSWER.length) / 2);
  let finished = false;
  void answers.finally(() => {
    finished = true;
  });
  while (!finished) {
    await settle();
    clock.advance(10);
  }
  expect(await answers).toBe(ANSWER.repeat(16));
  raw.send(REQUEST);
  expect(await raw.receive(ACK.length / 2)).toBe(ACK);
  await node.stop();
  await rm(folder, { recursive: true });
});

/** A zonal gateway with one ECU behind it that does what the test says, and an activated tester. */
async function zoneWithEcu(
  onDiagnostic: (connection: DoipConnection, message: DiagnosticMessage) => void,
) {
  // Nothing here may time out: the clock stands still.
  const clock = manualClock();
  const host = "127.0.0.1";
  const ecu = await listenDoip({ host, port: 0, entity: entityConfig, clock, onDiagnostic });
  const zone = await startZone({
    logical_address: 0x1000,
    functional_address: 0xe400,
    host,
    port: 0,
    ecus: [{ logical_address: ECU, host, port: ecu.port }],
    clock,
  });
  const raw = await rawSocket(zone.port);
  raw.send(ACTIVATE);
  await raw.receive(17);
  const stop = async () => {
    await zone.stop();
    await ecu.close();
  };
  return { raw, stop };
}

test("an ECU that talks has to wait for a tester that does not listen", async () => {
  const answer = new Uint8Array(60_000);
  const ENOUGH = 1_000;
  const asked = Promise.withResolvers<DoipConnection>();
  const { raw, stop } = await zoneWithEcu((connection, message) => {
    connection.send(nackOf(message, 0x05));
    asked.resolve(connection);
  });
  raw.send(REQUEST);
  expect(await raw.receive(13)).toBe(NO_ROOM);
  raw.socket.pause();

  const connection = await asked.promise;
  let sent = 0;
  // Nothing tells that the way is blocked but that it stays so.
  for (let blocked = 0; blocked < 200 && sent < ENOUGH;) {
    blocked = connection.congested ? blocked + 1 : 0;
    if (!connection.congested) {
      sent += 1;
      connection.send({
        type: PayloadType.diagnosticMessage,
        source: ECU,
        target: 0x0e80,
        userData: answer,
      });
    }
    await settle();
  }
  expect(sent).toBeLessThan(ENOUGH);
  raw.socket.resume();
  await raw.receive(sent * (12 + answer.length));
  await stop();
});

test("a tester that asks has to wait for an ECU that does not listen", async () => {
  const ENOUGH = 200_000;
  // One hundred bytes of request, the most that this entity takes.
  const request = `02fd8001000000680e801001${"00".repeat(100)}`;
  const asked = Promise.withResolvers<DoipConnection>();
  let listening = false;
  let taken = 0;
  const { raw, stop } = await zoneWithEcu((connection, message) => {
    taken += 1;
    connection.send(ackOf(message));
    if (!listening) connection.pause();
    asked.resolve(connection);
  });
  raw.send(request);
  const connection = await asked.promise;

  const some = Buffer.from(request.repeat(1_000), "hex");
  let sent = 1;
  for (let blocked = 0; blocked < 200 && sent < ENOUGH;) {
    const waits = raw.socket.writableNeedDrain;
    blocked = waits ? blocked + 1 : 0;
    if (!waits) {
      sent += 1_000;
      raw.socket.write(some);
    }
    await settle();
  }
  expect(sent).toBeLessThan(ENOUGH);
  listening = true;
  connection.resume();
  await raw.receive(sent * 13);
  expect(taken).toBe(sent);
  await stop();
});
