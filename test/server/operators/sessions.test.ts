import { randomUUIDv7 } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAuditLog } from "#server/audit/audit-log.ts";
import { trim } from "#server/maintenance/queries.ts";
import {
  accountById,
  accountForLogin,
  insertAccount,
  setPassword,
} from "#server/operators/account-queries.ts";
import { externalLogin } from "#server/operators/external.ts";
import type { Identity } from "#server/operators/issuer.ts";
import { createLogins } from "#server/operators/login.ts";
import { beginAttempt } from "#server/operators/login-queries.ts";
import { createPasswords } from "#server/operators/password.ts";
import {
  claimName,
  insertToken,
  operatorById,
  operatorByToken,
} from "#server/operators/queries.ts";
import { listSessions } from "#server/operators/session-queries.ts";
import { createSessions, type Sessions } from "#server/operators/sessions.ts";
import { hashToken } from "#server/operators/token.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

const times = { accessS: 900, idleS: 3600, wholeS: 4000 };
const account = { account_id: randomUUIDv7(), name: "alice" };
const revoked: string[] = [];
let own: OwnDatabase;
let sessions: Sessions;

beforeAll(async () => {
  own = await ownDatabase();
  const { db } = own;
  const rights = { role: "viewer", diagnostic_level: null } as const;
  await insertAccount(db, { ...account, ...rights, display_name: null, password_hash: null });
  const onTokenRevoked = async ({ token_id }: { token_id: string }) => void revoked.push(token_id);
  sessions = createSessions({ db, audit: createAuditLog({ db }), times, onTokenRevoked });
});
afterAll(() => own.remove());

async function begun() {
  const granted = await sessions.begin({ ...account, source: "192.0.2.1", by: "password" });
  if (granted === undefined) throw new Error("no session");
  return granted;
}

/** As if the session's life so far had been so much earlier. */
async function pass(seconds: number): Promise<void> {
  const by = sql`${seconds} * interval '1 second'`;
  await sql`update operator_token set access_expires_at = access_expires_at - ${by},
    expires_at = expires_at - ${by}, ends_at = ends_at - ${by}`.execute(own.db);
}

const byToken = async (token: string) => operatorByToken(own.db, hashToken(token));

describe("a session", () => {
  it("is there for longer than its access token, and ends when nobody refreshes it", async () => {
    const { access_token, refresh_token, session_id } = await begun();
    expect(await byToken(access_token)).toMatchObject({ ...nameAndRole, token_id: session_id });
    await pass(901);
    expect(await byToken(access_token)).toBeUndefined();
    // What it has begun goes on.
    expect(await operatorById(own.db, session_id)).toMatchObject(nameAndRole);
    const next = await sessions.refresh(refresh_token, "192.0.2.2");
    expect(await byToken(next.access_token)).toMatchObject(nameAndRole);
    await pass(3601);
    expect(await operatorById(own.db, session_id)).toBeUndefined();
    await expect(sessions.refresh(next.refresh_token, "")).rejects.toMatchObject({
      code: "REFRESH_TOKEN_INVALID",
    });
  });

  it("ends after its whole time, however often it is refreshed", async () => {
    const { refresh_token } = await begun();
    await pass(3500);
    const next = await sessions.refresh(refresh_token, "");
    expect(await byToken(next.access_token)).toMatchObject(nameAndRole);
    await pass(501);
    expect(await byToken(next.access_token)).toBeUndefined();
    await expect(sessions.refresh(next.refresh_token, "")).rejects.toMatchObject({
      code: "REFRESH_TOKEN_INVALID",
    });
  });

  it("has one next token when two ask for it at once, and then ends with what it began", async () => {
    const { refresh_token, session_id } = await begun();
    const both = await Promise.allSettled([
      sessions.refresh(refresh_token, ""),
      sessions.refresh(refresh_token, ""),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(revoked).toEqual([session_id]);
    expect(await operatorById(own.db, session_id)).toBeUndefined();
  });

  const nameAndRole = { name: "alice", role: "viewer", diagnostic_level: "none" };
});

describe("a login", () => {
  it("by a password that is replaced while it is looked at begins nothing, and changes nothing", async () => {
    const { db } = own;
    const bob = { account_id: randomUUIDv7(), name: "bob", display_name: null } as const;
    const passwords = createPasswords();
    const [stolen, replaced] = await Promise.all(["stolen word", "new word"].map(passwords.hash));
    await claimName(db, { name: "bob", name_key: "bob", kind: "account" });
    const rights = { role: "viewer", diagnostic_level: null } as const;
    await insertAccount(db, { ...bob, ...rights, password_hash: stolen ?? "" });
    const onTokenRevoked = async () => {};
    /** An admin is as fast as the thief. */
    const verify = async (password: string, hash: string | null) => {
      const isRight = await passwords.verify(password, hash);
      const password_hash = replaced ?? "";
      await setPassword(db, bob.account_id, { password_hash, password_temporary: false });
      return isRight;
    };
    const raced = { ...passwords, verify };
    const logins = createLogins({
      db,
      sessions,
      passwordMin: 12,
      onTokenRevoked,
      passwords: raced,
    });
    for (const more of [{}, { new_password: "a thief's own word" }]) {
      await setPassword(db, bob.account_id, {
        password_hash: stolen ?? "",
        password_temporary: false,
      });
      const login = logins.login({ name: "bob", password: "stolen word", ...more }, "192.0.2.1");
      await expect(login).rejects.toMatchObject({ code: "LOGIN_REFUSED" });
      const now = await accountForLogin(db, "bob");
      expect(now?.password_hash).toBe(replaced);
    }
    expect(await listSessions(db, bob.account_id, { limit: 1 })).toEqual([]);
  });
});

describe("what the issuer's people have", () => {
  it("is good for as long as the issuer has vouched for them, and again when it does", async () => {
    const { db } = own;
    const identity: Identity = {
      ...{ issuer: "https://login.example.com", subject: "u-7", name: "dora" },
      ...{ role: "approver", diagnostic_level: null },
      ...{ expiresAt: new Date(), vouched_s: 1000 },
    };
    const dora = await externalLogin(db, identity);
    const token_sha256 = hashToken("of dora");
    const api = { token_id: randomUUIDv7(), role: null, token_sha256, expires_at: null };
    await insertToken(db, { ...dora, ...api });
    const session = await sessions.begin({ ...dora, source: "192.0.2.1", by: "oidc" });
    const { access_token = "", refresh_token = "" } = session ?? {};
    const known = async () =>
      Promise.all(["of dora", access_token].map(async (token) => (await byToken(token))?.name));
    const vouchedFor = async (seconds: number) =>
      sql`update operator_account set vouched_until = now() + ${seconds} * interval '1 second'
        where account_id = ${dora.account_id}`.execute(db);
    await vouchedFor(5);
    expect(await known()).toEqual(["dora", "dora"]);
    await vouchedFor(-1);
    expect(await known()).toEqual([undefined, undefined]);
    await expect(sessions.refresh(refresh_token, "")).rejects.toMatchObject({
      code: "REFRESH_TOKEN_INVALID",
    });
    expect(await externalLogin(db, identity)).toEqual(dora);
    expect(await known()).toEqual(["dora", "dora"]);
    expect(await sessions.refresh(refresh_token, "")).toMatchObject({ token_type: "Bearer" });
  });
});

describe("a temporary password", () => {
  it("is good until its time is over, then for nothing, and begins a new one when it is reset", async () => {
    const { db } = own;
    const carol = { account_id: randomUUIDv7(), name: "carol", display_name: null } as const;
    const passwords = createPasswords();
    const given = "given by an admin";
    const password = { password_hash: await passwords.hash(given), password_temporary: true };
    const rights = { role: "viewer", diagnostic_level: null } as const;
    await claimName(db, { name: "carol", name_key: "carol", kind: "account" });
    await insertAccount(db, { ...carol, ...rights, ...password, password_life_s: 100 });
    const onTokenRevoked = async () => {};
    const logins = createLogins({ db, sessions, passwordMin: 12, onTokenRevoked, passwords });
    const login = (more: object) =>
      logins.login({ name: "carol", password: given, ...more }, "192.0.2.1");
    const later = async (seconds: number) =>
      sql`update operator_account set password_expires_at = password_expires_at
        - ${seconds} * interval '1 second'`.execute(db);
    await later(90);
    await expect(login({})).rejects.toMatchObject({ code: "PASSWORD_CHANGE_REQUIRED" });
    await later(11);
    const more = { new_password: "one of one's own" };
    for (const each of [{}, more]) {
      await expect(login(each)).rejects.toMatchObject({ code: "PASSWORD_EXPIRED" });
    }
    // Whoever guesses is not told that it is over.
    const guess = login({ password: "another word" });
    await expect(guess).rejects.toMatchObject({ code: "LOGIN_REFUSED" });
    const [failed] = await sql<{ detail: object }>`select detail from audit_entry
      where subject = ${carol.account_id} order by seq limit 1`
      .execute(db)
      .then(({ rows }) => rows);
    expect(failed?.detail).toMatchObject({ name: "carol", reason: "PASSWORD_EXPIRED" });
    await setPassword(db, carol.account_id, { ...password, password_life_s: 100 });
    expect(await login(more)).toMatchObject({ token_type: "Bearer" });
    expect(await accountById(db, carol.account_id)).toMatchObject({
      password_temporary: false,
      password_expires_at: null,
    });
  });
});

describe("what is over", () => {
  it("is trimmed: sessions by their very end, failed logins; API tokens stay", async () => {
    await sql`delete from operator_token`.execute(own.db);
    const { session_id } = await begun();
    const api = { token_id: randomUUIDv7(), name: "ci", role: "viewer" } as const;
    await insertToken(own.db, { ...api, token_sha256: hashToken("ci"), expires_at: new Date(0) });
    await beginAttempt(own.db, hashToken("nobody"));
    const before = (seconds: number) => new Date(Date.now() + seconds * 1000);
    const trimmed = async (table: "operator_token" | "operator_login", seconds: number) =>
      trim(own.db, table, before(seconds), 100);
    // Idle, but a refresh token that is stolen is still to be known again.
    await trimmed("operator_token", 3700);
    expect(await operatorById(own.db, session_id)).toBeDefined();
    expect(await trimmed("operator_token", 4010)).toBe(1);
    expect(await operatorById(own.db, session_id)).toBeUndefined();
    expect(await trimmed("operator_login", -10)).toBe(0);
    expect(await trimmed("operator_login", 10)).toBe(1);
  });
});
