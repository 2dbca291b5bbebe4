import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { TlsConnection } from "#server/runtime/connection.ts";
import { trackPresence } from "#server/vehicles/presence.ts";
import { registerVehicle, vehicleByVin } from "#server/vehicles/queries.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;

beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

it("a connection that could not be stored is kept, also when the vehicle is heard of meanwhile", async () => {
  const vin = "VMG-001";
  await registerVehicle(own.db, { vin });
  const presence = trackPresence(own.db, silentLog);
  const connection: TlsConnection = {
    peer: { kind: "anonymous" },
    negotiated: {
      protocol: "TLSv1.3",
      cipher: "TLS_AES_256_GCM_SHA384",
      group: "X25519MLKEM768",
      groupCode: 0x11ec,
      peerKeyType: "ecdsa-p256",
      profile: undefined,
      resumed: false,
    },
    at: new Date("2026-05-04T10:00:00Z"),
  };
  await sql`alter table vehicle rename to away`.execute(own.db);
  presence.seen(vin, { connection, via: "mqtt" });
  const failing = presence.flush();
  presence.seen(vin);
  await failing;
  await sql`alter table away rename to vehicle`.execute(own.db);
  await presence.flush();
  expect(await vehicleByVin(own.db, vin)).toMatchObject({
    status: "online",
    connection: { via: "mqtt", group: "X25519MLKEM768", at: "2026-05-04T10:00:00.000Z" },
  });
});
