import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MAX_METADATA_BYTES } from "#protocol/uptane/metadata.ts";
import { openDatabase } from "#server/database/connection.ts";
import { uploadForm } from "#test/helpers/fleet-data.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { testDatabase } from "#test/helpers/test-database.ts";
import { silentLog } from "#test/server/own-database.ts";

const { path: data_dir, remove } = temporaryFolder();
let place: Awaited<ReturnType<typeof testDatabase>>;
let gateway: TestGateway;

/** Few images with much to say of each: as good as thousands. */
const HARDWARE = Array.from({ length: 64 }, (_, i) => `HW-${String(i).padStart(60, "0")}`);
const ENTRY_BYTES = 64 * '"brake:",'.length + JSON.stringify(HARDWARE).length;
/** More than there is room for, for there is more to an entry than its hardware. */
const COUNT = Math.ceil(MAX_METADATA_BYTES.targets / ENTRY_BYTES);

beforeAll(async () => {
  place = await testDatabase(data_dir);
  const config = { data_dir, database: { url: place.url, pool_size: 5 } };
  const { db, close } = await openDatabase(config, silentLog);
  await sql`
    insert into firmware (
      firmware_id, ecu_type, version, hardware_versions, channel, size, sha256, sha512,
      compressed_size, compressed_sha256, created_by
    )
    select
      gen_random_uuid(), 'brake', '1.0.' || n, ${HARDWARE}::text[], 'stable', 1,
      repeat('0', 64), repeat('0', 128), 1, repeat('0', 64), 'test'
    from generate_series(1, ${COUNT}::int) as n
  `.execute(db);
  await close();
  gateway = await startGateway(config);
});
afterAll(async () => {
  await gateway.close();
  await place.drop();
  remove();
});

test("targets of development name as many images as there is room for, and uploads are refused", async () => {
  const lines = (level: number) => gateway.log.filter((line) => line["level"] === level);
  const share = /^Image targets have (8\d{6}) of 8388608 bytes/;
  expect(lines(40).map(({ msg }) => msg)).toContainEqual(expect.stringMatching(share));
  expect(lines(50)).toMatchObject([{ code: "TRUST_TARGETS_FULL" }]);
  const count = async (publication: string) => {
    const path = `/api/v1/firmware?publication=${publication}&limit=500`;
    return ((await gateway.admin.send("GET", path)).json.items as unknown[]).length;
  };
  expect(await count("published")).toBe(500);
  expect(await count("awaiting_signature")).toBe(lines(50)[0]?.["images"]);

  const raw = uploadForm({ ecu_type: "brake", version: "2.0.0" });
  const refused = await gateway.admin.send("POST", "/api/v1/firmware", { raw });
  expect([refused.status, refused.json.code]).toEqual([409, "TRUST_TARGETS_FULL"]);
  const path = "/api/v1/firmware?ecu_type=brake&status=active";
  expect((await gateway.admin.send("GET", path)).json.items).not.toContainEqual(
    expect.objectContaining({ version: "2.0.0" }),
  );
});
