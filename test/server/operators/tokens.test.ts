import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { operatorByToken } from "#server/operators/queries.ts";
import { operatorRoutes } from "#server/operators/routes.ts";
import { hashToken } from "#server/operators/token.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { serveRoutes } from "#test/server/own-routes.ts";

const tokens = "/operators/tokens";
const ended: { token_id: string; name: string }[] = [];
let own: OwnDatabase;
let gateway: Awaited<ReturnType<typeof serveRoutes>>;

beforeAll(async () => {
  own = await ownDatabase();
  const { db } = own;
  const onTokenRevoked = async (token: { token_id: string; name: string }) => {
    ended.push(token);
  };
  gateway = await serveRoutes(own.folder, [operatorRoutes({ db, onTokenRevoked })], {
    root: { role: "admin", diagnostic_level: "none" },
  });
});
afterAll(async () => {
  await gateway.close();
  await own.remove();
});

async function made(body: object) {
  const { status, json } = await gateway.send("root", "POST", tokens, { name: "alice", ...body });
  expect(status).toBe(201);
  return json as { token_id: string; token: string };
}

describe("a token's diagnostic level", () => {
  it.each([
    ["viewer", undefined, "none"],
    ["release_manager", undefined, "none"],
    ["diagnostician", undefined, "control"],
    ["admin", undefined, "control"],
    ["diagnostician", "read", "read"],
    ["admin", "none", "none"],
    ["release_manager", "write", "write"],
  ])("of a %s, with %j, is %s", async (role, diagnostic_level, level) => {
    const { token_id, token } = await made({ role, diagnostic_level });
    expect(await operatorByToken(own.db, hashToken(token))).toEqual({
      token_id,
      name: "alice",
      role,
      diagnostic_level: level,
    });
    const { json } = await gateway.send("root", "GET", tokens);
    expect((json as { items: object[] }).items).toContainEqual(
      expect.objectContaining({ token_id, role, diagnostic_level: level }),
    );
  });

  it("is one of four", async () => {
    const body = { name: "alice", role: "admin", diagnostic_level: "everything" };
    const { json } = await gateway.send("root", "POST", tokens, body);
    expect(json).toMatchObject({ code: "REQUEST_INVALID" });
  });
});

describe("a token that is revoked", () => {
  it("is told of once, with whose it was, and is good for nothing", async () => {
    const { token_id, token } = await made({ role: "diagnostician" });
    expect(ended).toEqual([]);
    expect((await gateway.send("root", "DELETE", `${tokens}/${token_id}`)).status).toBe(204);
    expect(ended).toEqual([{ token_id, name: "alice" }]);
    expect(await operatorByToken(own.db, hashToken(token))).toBeUndefined();
    const again = await gateway.send("root", "DELETE", `${tokens}/${token_id}`);
    expect(again.json).toMatchObject({ code: "TOKEN_UNKNOWN" });
    expect(ended).toHaveLength(1);
  });
});
