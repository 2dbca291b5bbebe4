import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { TestGateway } from "#test/helpers/gateway.ts";
import { trust } from "#test/cli/run-trust.ts";
import { startProduction, type Production } from "./production.ts";

let production: Production;
let gateway: TestGateway;

beforeAll(async () => {
  ({ gateway, ...production } = await startProduction());
  const vehicle = await gateway.vehicle("VMG-001");
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-001" } });
  await vehicle.send("GET", "/api/v1/uptane/image/2.root.json");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await gateway.close();
  await production.remove();
});

const rehearse = async (...path: string[]) => {
  const body = await readFile(production.ceremony.file("image", ...path));
  const raw = { type: "application/json", body };
  return (await gateway.admin.send("POST", "/api/v1/uptane/image/rehearsal", { raw })).json;
};
const waits = {
  goes_on: 0,
  waits: 1,
  stranded: 0,
  unknown: 0,
  roots: [{ root_version: 1, vehicles: 1, outcome: "waits", waiting_for: ["targets"] }],
};

test("a root before the first targets waits for them, and nobody is stranded by it", async () => {
  const { ceremony } = production;
  await ceremony.run("rotate", "--repository", "image", "--role", "root");
  await ceremony.run("sign");
  expect(await rehearse("2.root.json")).toEqual(waits);
  await ceremony.run("publish");
  const vehicle = await gateway.vehicle("VMG-001");
  await vehicle.send("GET", "/api/v1/uptane/image/3.root.json");
});

test("a root with new release keys waits for the targets that they have signed", async () => {
  const { ceremony } = production;
  await ceremony.run("rotate", "--repository", "image", "--role", "targets");
  const half = await rehearse("draft", "3.root.json");
  expect(half).toMatchObject({ waits: 0, stranded: 1, roots: [{ outcome: "stranded" }] });
  await ceremony.run("sign");
  const root = ceremony.file("image", "3.root.json");
  expect(await rehearse("3.root.json")).toEqual({
    ...waits,
    roots: [{ ...waits.roots[0], root_version: 2 }],
  });
  const { code, output } = await trust("rehearse", root);
  expect(code).toBe("ok");
  expect(output).toMatch(/^root 2 +1 +waits +until you publish targets too$/m);
  // It is still the same question while the root waits at the gateway.
  expect((await trust("publish", root)).output).toMatch(/once these are published too: targets$/);
  expect(await rehearse("3.root.json")).toMatchObject({ waits: 1, stranded: 0 });
  expect((await ceremony.run("publish")).split("\n").slice(1)).toEqual([
    "image root 3: published, with targets 2",
    "image targets 2: published",
  ]);
});

test("a root that names no other release keys waits for nothing", async () => {
  const { ceremony } = production;
  await ceremony.run("rotate", "--repository", "image", "--role", "root");
  await ceremony.run("sign");
  expect(await rehearse("4.root.json")).toMatchObject({
    goes_on: 1,
    waits: 0,
    roots: [{ root_version: 2, outcome: "goes_on" }],
  });
});
