import { randomUUIDv7 } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { insertAccount } from "#server/operators/account-queries.ts";
import { createAuthenticate } from "#server/operators/external.ts";
import { ensureFirstToken } from "#server/operators/first-token.ts";
import { insertToken, operatorByToken } from "#server/operators/queries.ts";
import { operatorRoutes } from "#server/operators/routes.ts";
import { hashToken, newToken } from "#server/operators/token.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { serveRoutes } from "#test/server/own-routes.ts";
import { problemOf } from "#test/server/problem-of.ts";

const tokens = "/operators/tokens";
const ended: { token_id: string; name: string }[] = [];
const root = newToken();
let own: OwnDatabase;
let gateway: Awaited<ReturnType<typeof serveRoutes>>;

beforeAll(async () => {
  own = await ownDatabase();
  const { db } = own;
  const onTokenRevoked = async (token: { token_id: string; name: string }) => {
    ended.push(token);
  };
  const known = createAuthenticate(db, undefined);
  gateway = await serveRoutes(own.folder, [operatorRoutes({ db, onTokenRevoked })], known);
  await insertToken(db, {
    ...{ token_id: randomUUIDv7(), name: "root", role: "admin" },
    token_sha256: hashToken(root),
    expires_at: null,
  });
});
afterAll(async () => {
  await gateway.close();
  await own.remove();
});

async function made(body: object) {
  const { status, json } = await gateway.send(root, "POST", tokens, { name: "alice", ...body });
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
    const { json } = await gateway.send(root, "GET", tokens);
    expect((json as { items: object[] }).items).toContainEqual(
      expect.objectContaining({ token_id, role, diagnostic_level: level }),
    );
  });

  it("is one of four", async () => {
    const body = { name: "alice", role: "admin", diagnostic_level: "everything" };
    const { json } = await gateway.send(root, "POST", tokens, body);
    expect(json).toMatchObject({ code: "REQUEST_INVALID" });
  });
});

describe("a token that is revoked", () => {
  it("is told of once, with whose it was, and is good for nothing", async () => {
    const { token_id, token } = await made({ role: "diagnostician" });
    expect(ended).toEqual([]);
    expect((await gateway.send(root, "DELETE", `${tokens}/${token_id}`)).status).toBe(204);
    expect(ended).toEqual([{ token_id, name: "alice" }]);
    expect(await operatorByToken(own.db, hashToken(token))).toBeUndefined();
    const again = await gateway.send(root, "DELETE", `${tokens}/${token_id}`);
    expect(again.json).toMatchObject({ code: "TOKEN_UNKNOWN" });
    expect(ended).toHaveLength(1);
  });
});

describe("a token that is for less", () => {
  const scopes = ["operators:write", "operators:read"];
  const body = { role: "admin", diagnostic_level: "read", scopes };
  const send = async (token: string, change: object) =>
    gateway.send(token, "POST", tokens, { name: "alice", ...body, ...change });

  it("makes none that is for more", async () => {
    const { token } = await made(body);
    const refused = async (change: object) => problemOf(await send(token, change));
    expect((await send(token, { scopes: ["operators:read"] })).status).toBe(201);
    expect((await send(token, {})).status).toBe(201);
    expect(await refused({ scopes: undefined })).toBe("SCOPE_REQUIRED");
    expect(await refused({ scopes: ["*"] })).toBe("SCOPE_REQUIRED");
    expect(await refused({ diagnostic_level: "write" })).toBe("SCOPE_REQUIRED");
    expect(await refused({ role: "diagnostician", diagnostic_level: undefined })).toBe(
      "SCOPE_REQUIRED",
    );
    expect(await refused({ scopes: ["vehicles:delete"] })).toBe("SCOPE_UNKNOWN");
    expect(await refused({ scopes: [] })).toBe("REQUEST_INVALID");
    const { json } = await gateway.send(root, "GET", tokens);
    expect((json as { items: object[] }).items).toContainEqual(
      expect.objectContaining({ name: "alice", scopes }),
    );
  });

  it("makes none for somebody else, so no second person for itself", async () => {
    const { token } = await made(body);
    expect(problemOf(await send(token, { name: "bob" }))).toBe("SCOPE_REQUIRED");
    const account = { account_id: randomUUIDv7(), name: "carol", display_name: null };
    const rights = { role: "admin", diagnostic_level: "none", password_hash: null } as const;
    await insertAccount(own.db, { ...account, ...rights });
    const hers = { account_id: account.account_id, scopes };
    const refused = await gateway.send(token, "POST", tokens, hers);
    expect(problemOf(refused)).toBe("SCOPE_REQUIRED");
    const { token: second } = (await gateway.send(root, "POST", tokens, hers)).json as {
      token: string;
    };
    expect((await gateway.send(second, "POST", tokens, hers)).status).toBe(201);
  });

  it("makes none that ends later than it does", async () => {
    const { token, token_id } = await made({ ...body, expires_in_days: 10 });
    expect(problemOf(await send(token, { expires_in_days: 11 }))).toBe("SCOPE_REQUIRED");
    expect((await send(token, { expires_in_days: 9 })).status).toBe(201);
    const last = (await send(token, {})).json as { token_id: string };
    const { items } = (await gateway.send(root, "GET", tokens)).json as {
      items: { token_id: string; expires_at: string | null }[];
    };
    const ends = (id: string) => items.find(({ token_id }) => token_id === id)?.expires_at;
    expect(ends(last.token_id)).toEqual(expect.any(String));
    expect(ends(last.token_id)).toBe(ends(token_id));
  });
});

describe("the token of the first start", () => {
  it("stays what it is, and is another after it was revoked: whoever reads the file gets in", async () => {
    const read = async () =>
      readFileSync(await ensureFirstToken(own.db, own.folder), "utf8").trim();
    const first = await read();
    expect(await read()).toBe(first);
    const known = await operatorByToken(own.db, hashToken(first));
    expect(known).toMatchObject({ name: "first-admin", role: "admin" });
    await gateway.send(root, "DELETE", `${tokens}/${known?.token_id}`);
    const second = await read();
    expect(second).not.toBe(first);
    expect((await gateway.send(second, "GET", tokens)).status).toBe(200);
    expect((await gateway.send(first, "GET", tokens)).status).toBe(401);
  });
});
