import { afterAll, beforeAll, expect, it } from "vitest";
import type { VciEcu } from "#protocol/api/vci.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { testFolder } from "#test/helpers/folder.ts";
import {
  ASSIGNED,
  IMAGE,
  PATH,
  repositories,
  TRAITS,
  type Repositories,
} from "#test/protocol/uptane/vehicle.ts";
import { createGatewayClient, type GatewayClient } from "#vmg-sim/vmg/gateway-client.ts";
import { vehicleTrust, type VehicleTrustDeps } from "#vmg-sim/vmg/vehicle-trust.ts";
import { startBadServer, type BadServer } from "./https-server.ts";
import { stillPace } from "./still-pace.ts";

const VIN = "VMG-001";
const ECU: VciEcu = {
  ecu_id: ASSIGNED.ecu_id,
  zone_id: "ZG-FRONT",
  ecu_type: "brake",
  hardware_version: "HW-A",
  software_version: "1.0.0",
};

let server: BadServer;
let client: GatewayClient;
const pace = stillPace();
const backoff = { retries: 0, backoff_ms: 10, max_backoff_ms: 10 };
const gateway = () => ({ ...backoff, https_url: server.url, timeout_ms: 10_000 });

beforeAll(async () => {
  server = await startBadServer(VIN);
  client = createGatewayClient({ settings: gateway(), tls: server.tls, vin: VIN, pace });
});
afterAll(async () => {
  await client.close();
  await server.close();
});

/** Two repositories that assign an image to the ECU, as the gateway of the test serves them. */
function served(): Repositories {
  const pair = repositories();
  const hardware_id = hardwareId(ECU.ecu_type, ECU.hardware_version);
  const release_counter = releaseCounter("1.1.0");
  pair.director.addTarget(PATH, IMAGE, { ...ASSIGNED, hardware_id, release_counter });
  pair.image.addTarget(PATH, IMAGE, { ...TRAITS, hardware_ids: [hardware_id], release_counter });
  pair.director.publishAll();
  pair.image.publishAll();
  server.answer(({ url = "" }, response) => {
    const [name = "", file = ""] = url.split("/").slice(-2);
    const bytes = pair[name as RepositoryName].files.get(file);
    response.writeHead(bytes ? 200 : 404).end(bytes);
  });
  return pair;
}

/** The trust of a vehicle that was built with the first roots of a pair. */
function trustIn({ director, image }: Repositories, change: Partial<VehicleTrustDeps> = {}) {
  const root = ({ files }: Repositories["director"]) => files.get("1.root.json") ?? Buffer.alloc(0);
  return vehicleTrust({
    client,
    gateway: gateway(),
    pace,
    roots: { director: root(director), image: root(image) },
    folder: testFolder(),
    vin: VIN,
    nonce: async () => "nonce-1",
    ecus: async () => [ECU],
    onEvent: () => {},
    ...change,
  });
}

const { signal } = new AbortController();

it("takes what answers its last nonce, and nothing when it has given out none", async () => {
  const pair = served();
  expect(await trustIn(pair).authorize("1", signal)).toMatchObject([{ path: PATH }]);
  const unasked = trustIn(pair, { nonce: async () => undefined });
  await expect(unasked.authorize("1", signal)).rejects.toMatchObject({
    code: "UPTANE_NONCE_STALE",
  });
  pair.director.targets["custom"] = { vin: VIN };
  pair.director.publishAll();
  await expect(unasked.authorize("1", signal)).rejects.toMatchObject({
    code: "UPTANE_NONCE_STALE",
  });
});

it("begins anew with other roots, as after the factory", async () => {
  const folder = testFolder();
  await trustIn(served(), { folder }).authorize("1", signal);
  expect(await trustIn(served(), { folder }).authorize("2", signal)).toHaveLength(1);
});

it("has packages signed by the keys of the director's targets, and by no others", async () => {
  const pair = served();
  const { keyids } = pair.director.root.roles.targets;
  const keys = await trustIn(pair).packageKeys();
  expect([...keys.keys()].sort()).toEqual(keyids.toSorted());
});
