import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type Answer, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { accounts, granted, operatorsOf, password } from "./operators-of.ts";
import { startIssuer, type SigningKey } from "./own-issuer.ts";

const tokens = "/api/v1/operators/tokens";

let issuer: Awaited<ReturnType<typeof startIssuer>>;
let key: SigningKey;
let gateway: TestGateway;
let nobody: Caller;
let { login, refresh, me, person, audited, accountOf } = {} as ReturnType<typeof operatorsOf>;
let firstAdmin: { name: string; password: string } | undefined;

beforeAll(async () => {
  issuer = await startIssuer();
  key = await issuer.rotate("k1");
  gateway = await startGateway({
    operators: { logins_per_minute: 300 },
    oidc: {
      issuer: issuer.issuer,
      audience: "latticeway",
      client_id: "latticeway-login",
      roles: { admins: "admin", workshop: "diagnostician" },
    },
  });
  nobody = gateway.operator("");
  ({ login, refresh, me, person, audited, accountOf } = operatorsOf(gateway));
  firstAdmin = gateway.app.firstAdmin;
});
afterAll(async () => {
  await gateway.close();
  await issuer.close();
});

describe("the first start", () => {
  it("makes an admin, whose password is told once and is good for setting another", async () => {
    expect(firstAdmin?.name).toBe("admin");
    const { name = "", password: first = "" } = firstAdmin ?? {};
    expect(await accountOf(name)).toMatchObject({ password_expires_at: null });
    expect(problemOf(await login({ name, password: first }))).toBe("PASSWORD_CHANGE_REQUIRED");
    const short = { name, password: first, new_password: "short" };
    expect(problemOf(await login(short))).toBe("PASSWORD_UNSUITABLE");
    const same = { name, password: first, new_password: first };
    expect(problemOf(await login(same))).toBe("PASSWORD_UNSUITABLE");
    const { access_token } = granted(
      await login({ name, password: first, new_password: password }),
    );
    expect((await me(access_token)).json).toEqual({
      name: "admin",
      role: "admin",
      diagnostic_level: "control",
      scopes: ["*"],
    });
    expect(problemOf(await login({ name, password: first }))).toBe("LOGIN_REFUSED");
    expect(JSON.stringify(gateway.log)).not.toContain(first);
    await gateway.restart();
    expect(gateway.app.firstAdmin).toBeUndefined();
  });
});

describe("the only admin", () => {
  it("who is kept locked by others gets in by the token of the first start", async () => {
    const only = await accountOf("admin");
    for (let each = 0; each < 6; each++) await login({ name: "admin", password: "guessed" });
    expect(problemOf(await login({ name: "admin", password }))).toBe("LOGIN_LOCKED");
    expect((await accountOf("admin"))?.locked_until).toEqual(expect.any(String));
    const path = `${accounts}/${only?.account_id}/password`;
    const reset = await gateway.admin.send("POST", path, { body: {} });
    const { password: temporary } = reset.json as { password: string };
    granted(await login({ name: "admin", password: temporary, new_password: password }));
  });
});

describe("an account", () => {
  it("is made, read, listed and changed, and all of it is in the audit log without passwords", async () => {
    const { name, account_id, grant, first } = await person("viewer", { display_name: "V." });
    const path = `${accounts}/${account_id}`;
    const { json: shown } = await gateway.admin.send("GET", path);
    expect(shown).toMatchObject({
      name,
      role: "viewer",
      display_name: "V.",
      diagnostic_level: "none",
      disabled: false,
      external: false,
      locked_until: null,
      password_temporary: false,
    });
    const { json: list } = await gateway.admin.send("GET", `${accounts}?limit=500`);
    expect(list.items).toContainEqual(shown);
    const body = { role: "diagnostician", diagnostic_level: "write", display_name: null };
    const changed = await gateway.admin.send("PATCH", path, { body });
    expect(changed.json).toMatchObject(body);
    // For the session that there is.
    expect((await me(grant.access_token)).json).toMatchObject({ diagnostic_level: "write" });

    const entries = await audited(`subject=${account_id}&limit=500`);
    expect(entries.map(({ detail: _detail, ...entry }) => entry)).toEqual([
      expect.objectContaining({ actor: "operator:first-admin", action: "operator.changed" }),
      expect.objectContaining({ actor: `operator:${name}`, action: "operator.password_changed" }),
      expect.objectContaining({ actor: "operator:first-admin", action: "operator.created" }),
    ]);
    const log = JSON.stringify(await audited("limit=500"));
    for (const secret of [first, password, "argon2id", grant.access_token, "lwr_"]) {
      expect(log).not.toContain(secret);
    }
  });

  it.each([
    ["a name that is another's", { name: "ADMIN", role: "viewer" }, "OPERATOR_NAME_TAKEN"],
    ["a name that tokens have", { name: "first-admin", role: "viewer" }, "OPERATOR_NAME_TAKEN"],
    ["a name that can't be seen", { name: "a\u200Bb", role: "viewer" }, "OPERATOR_NAME_INVALID"],
    ["no role", { name: "carol" }, "REQUEST_INVALID"],
    ["a role that there is not", { name: "carol", role: "root" }, "REQUEST_INVALID"],
    ["what it does not have", { name: "carol", role: "admin", issuer: "x" }, "REQUEST_INVALID"],
    ["a short password", { name: "carol", role: "viewer", password: "1" }, "PASSWORD_UNSUITABLE"],
    ["a huge one", { name: "c", role: "viewer", password: "x".repeat(10_000) }, "REQUEST_INVALID"],
  ])("is not made with %s", async (_, body, code) => {
    expect(problemOf(await gateway.admin.send("POST", accounts, { body }))).toBe(code);
  });

  it("keeps its name from tokens, also after it was deleted", async () => {
    const { name, account_id, grant } = await person("approver");
    const token = { name: name.toUpperCase(), role: "viewer" };
    expect(problemOf(await gateway.admin.send("POST", tokens, { body: token }))).toBe(
      "OPERATOR_NAME_TAKEN",
    );
    const path = `${accounts}/${account_id}`;
    expect((await gateway.admin.send("DELETE", path)).status).toBe(204);
    expect(problemOf(await me(grant.access_token))).toBe("TOKEN_INVALID");
    expect(problemOf(await refresh(grant.refresh_token))).toBe("REFRESH_TOKEN_INVALID");
    expect(problemOf(await login({ name, password }))).toBe("LOGIN_REFUSED");
    for (const method of ["GET", "DELETE"]) {
      expect(problemOf(await gateway.admin.send(method, path))).toBe("OPERATOR_UNKNOWN");
    }
    const again = { name, role: "viewer" };
    expect(problemOf(await gateway.admin.send("POST", accounts, { body: again }))).toBe(
      "OPERATOR_NAME_TAKEN",
    );
  });

  it("that is disabled is out at once, with its tokens; enabled again, it logs in", async () => {
    const { name, account_id, grant } = await person("viewer");
    const api = await gateway.admin.send("POST", tokens, { body: { account_id } });
    expect((await me(api.json.token)).json).toMatchObject({ name, role: "viewer" });
    const path = `${accounts}/${account_id}`;
    await gateway.admin.send("PATCH", path, { body: { disabled: true } });
    expect(problemOf(await me(grant.access_token))).toBe("TOKEN_INVALID");
    expect(problemOf(await me(api.json.token))).toBe("TOKEN_INVALID");
    expect(problemOf(await refresh(grant.refresh_token))).toBe("REFRESH_TOKEN_INVALID");
    expect(problemOf(await login({ name, password }))).toBe("LOGIN_REFUSED");
    await gateway.admin.send("PATCH", path, { body: { disabled: false, role: "approver" } });
    expect(problemOf(await me(grant.access_token))).toBe("TOKEN_INVALID");
    expect((await me(api.json.token)).json).toMatchObject({ name, role: "approver" });
    granted(await login({ name, password }));
  });

  it("whose password is reset has to set another, and its sessions are over", async () => {
    const { name, account_id, grant } = await person("viewer");
    const reset = await gateway.admin.send("POST", `${accounts}/${account_id}/password`, {
      body: {},
    });
    const { password_expires_at } = reset.json as { password_expires_at: string };
    expect(await accountOf(name)).toMatchObject({ password_temporary: true, password_expires_at });
    expect(Date.parse(password_expires_at)).toBeGreaterThan(Date.now() + 71 * 3_600_000);
    expect(problemOf(await me(grant.access_token))).toBe("TOKEN_INVALID");
    const { password: temporary } = reset.json as { password: string };
    expect(problemOf(await login({ name, password: temporary }))).toBe("PASSWORD_CHANGE_REQUIRED");
    granted(await login({ name, password: temporary, new_password: `${password} 2` }));
  });
});

describe("a login", () => {
  it("takes a name as it may be typed", async () => {
    const { name } = await person("viewer");
    const { access_token } = granted(await login({ name: name.toUpperCase(), password }));
    expect((await me(access_token)).json).toMatchObject({ name });
  });

  it.each([
    ["nobody's name", { name: "nobody", password }],
    ["an empty password", { name: "admin", password: "" }],
    ["one character", { name: "admin", password: "x" }],
    ["a name like SQL", { name: "' or true --", password }],
    ["a name with a control character", { name: "admin\u0007", password }],
    ["a long name", { name: "a".repeat(256), password }],
    ["the name of tokens", { name: "first-admin", password }],
  ])("with %s is refused, and it is not said why", async (_, body) => {
    const answer = await login(body);
    expect(problemOf(answer)).toBe("LOGIN_REFUSED");
    expect(answer.json.detail).toBeUndefined();
  });

  it.each([
    { name: "admin", password: "x".repeat(10_000) },
    { name: "a".repeat(257), password },
    { name: "admin" },
    { name: ["admin"], password },
    { name: "admin", password, role: "admin" },
  ])("that does not fit is refused (%#)", async (body) => {
    expect(problemOf(await login(body))).toBe("REQUEST_INVALID");
  });

  it("that fails too often locks the name, also for the right password, until an admin resets it", async () => {
    const { name, account_id } = await person("viewer");
    for (let each = 0; each < 5; each++) {
      expect(problemOf(await login({ name, password: "wrong" }))).toBe("LOGIN_REFUSED");
    }
    const locked = await login({ name, password });
    expect(problemOf(locked)).toBe("LOGIN_LOCKED");
    expect(Number(locked.headers["retry-after"])).toBeLessThanOrEqual(30);
    const { json } = await gateway.admin.send("GET", `${accounts}/${account_id}`);
    expect(json.locked_until).not.toBeNull();
    const entries = await audited(`subject=${account_id}`);
    expect(entries.slice(0, 2)).toEqual([
      expect.objectContaining({ action: "operator.locked" }),
      expect.objectContaining({ action: "operator.login_failed" }),
    ]);
    const reset = await gateway.admin.send("POST", `${accounts}/${account_id}/password`, {
      body: {},
    });
    const { password: temporary } = reset.json as { password: string };
    granted(await login({ name, password: temporary, new_password: password }));
  });
});

describe("a session", () => {
  it("is refreshed by a token that is good once; the access token before is not any more", async () => {
    const { grant } = await person("viewer");
    expect(grant).toMatchObject({ token_type: "Bearer", expires_in: 900 });
    const next = granted(await refresh(grant.refresh_token));
    expect(next.session_id).toBe(grant.session_id);
    expect((await me(next.access_token)).status).toBe(200);
    expect(problemOf(await me(grant.access_token))).toBe("TOKEN_INVALID");
    // Each is good for its own purpose only.
    expect(problemOf(await refresh(next.access_token))).toBe("REFRESH_TOKEN_INVALID");
    expect(problemOf(await me(next.refresh_token))).toBe("TOKEN_INVALID");
  });

  it("ends for everybody when a refresh token comes a second time", async () => {
    const { grant } = await person("viewer");
    const next = granted(await refresh(grant.refresh_token));
    expect(problemOf(await refresh(grant.refresh_token))).toBe("REFRESH_TOKEN_REUSED");
    expect(problemOf(await refresh(next.refresh_token))).toBe("REFRESH_TOKEN_INVALID");
    expect(problemOf(await me(next.access_token))).toBe("TOKEN_INVALID");
    expect(await audited(`subject=${grant.session_id}`)).toEqual([
      expect.objectContaining({ action: "operator.refresh_reused" }),
      expect.objectContaining({ action: "operator.login" }),
    ]);
  });

  it("ends at once by a logout", async () => {
    const { grant } = await person("viewer");
    const caller = gateway.operator(grant.access_token);
    expect((await caller.send("POST", "/api/v1/auth/logout")).status).toBe(204);
    expect(problemOf(await me(grant.access_token))).toBe("TOKEN_INVALID");
    expect(problemOf(await refresh(grant.refresh_token))).toBe("REFRESH_TOKEN_INVALID");
  });

  it("is listed and ended by its owner, not by another, and by an admin", async () => {
    const { name, account_id, grant } = await person("viewer");
    const other = await person("viewer");
    const second = granted(await login({ name, password }));
    const caller = gateway.operator(grant.access_token);
    const { json } = await caller.send("GET", "/api/v1/auth/sessions");
    const ids = (json.items as { session_id: string }[]).map(({ session_id }) => session_id);
    expect(ids).toEqual([second.session_id, grant.session_id]);
    const path = `/api/v1/auth/sessions/${second.session_id}`;
    const stranger = gateway.operator(other.grant.access_token);
    expect(problemOf(await stranger.send("DELETE", path))).toBe("OPERATOR_SESSION_UNKNOWN");
    expect((await caller.send("DELETE", path)).status).toBe(204);
    expect(problemOf(await me(second.access_token))).toBe("TOKEN_INVALID");
    const theirs = `${accounts}/${account_id}/sessions`;
    expect((await gateway.admin.send("GET", theirs)).json.items).toHaveLength(1);
    const one = `${theirs}/${grant.session_id}`;
    expect((await gateway.admin.send("DELETE", one)).status).toBe(204);
    expect(problemOf(await me(grant.access_token))).toBe("TOKEN_INVALID");
    expect(problemOf(await gateway.admin.send("DELETE", one))).toBe("OPERATOR_SESSION_UNKNOWN");
  });

  it("replaces one's own password, which ends the others", async () => {
    const { name, grant } = await person("viewer");
    const second = granted(await login({ name, password }));
    const caller = gateway.operator(grant.access_token);
    const send = async (body: object) => caller.send("POST", "/api/v1/auth/password", { body });
    const new_password = `${password} 3`;
    expect(problemOf(await send({ password: "wrong", new_password }))).toBe("LOGIN_REFUSED");
    expect(problemOf(await send({ password, new_password: name }))).toBe("PASSWORD_UNSUITABLE");
    expect((await send({ password, new_password })).status).toBe(204);
    expect((await me(grant.access_token)).status).toBe(200);
    expect(problemOf(await me(second.access_token))).toBe("TOKEN_INVALID");
    expect(problemOf(await login({ name, password }))).toBe("LOGIN_REFUSED");
    granted(await login({ name, password: new_password }));
  });

  it.each(["", "lwr_", `lwr_${"A".repeat(43)}.${"A".repeat(43)}`, "x".repeat(256)])(
    "is not refreshed by %j",
    async (token) => {
      expect(problemOf(await refresh(token))).toBe(
        token === "" ? "REQUEST_INVALID" : "REFRESH_TOKEN_INVALID",
      );
    },
  );
});

describe("an API token", () => {
  it("does not do what takes a login", async () => {
    for (const [method, path, body] of [
      ["POST", "/api/v1/auth/logout", undefined],
      ["POST", "/api/v1/auth/password", { password, new_password: password }],
      ["DELETE", `/api/v1/auth/sessions/${randomUUID()}`, undefined],
    ] as const) {
      expect(problemOf(await gateway.admin.send(method, path, { body }))).toBe("LOGIN_REQUIRED");
    }
  });

  it.each([
    ["nobody", {}, "REQUEST_INVALID"],
    ["no role", { name: "bare" }, "REQUEST_INVALID"],
    ["an account and a name", { account_id: randomUUID(), name: "both" }, "REQUEST_INVALID"],
    ["no such account", { account_id: randomUUID() }, "OPERATOR_UNKNOWN"],
    [
      "a name that looks like another",
      { name: "First-Admin", role: "viewer" },
      "OPERATOR_NAME_TAKEN",
    ],
  ])("is not made for %s", async (_, body, code) => {
    expect(problemOf(await gateway.admin.send("POST", tokens, { body }))).toBe(code);
  });
});

describe("somebody whom the issuer vouches for", () => {
  const sub = () => ({ sub: randomUUID(), preferred_username: `o${randomUUID().slice(0, 8)}` });

  it("calls with its token, and is out when the account is disabled", async () => {
    const claims = sub();
    const token = await issuer.token(key, claims);
    const { json } = await me(token);
    expect(json).toMatchObject({ name: claims.preferred_username, role: "diagnostician" });
    const { keys } = issuer.asked;
    expect((await me(token)).status).toBe(200);
    expect(issuer.asked.keys).toBe(keys);
    const account = await accountOf(claims.preferred_username);
    expect(account).toMatchObject({ external: true, role: "diagnostician" });
    const path = `${accounts}/${account?.account_id}`;
    // Another role comes from the issuer alone, and holds for what there is.
    const change = await gateway.admin.send("PATCH", path, { body: { role: "admin" } });
    expect(problemOf(change)).toBe("OPERATOR_EXTERNAL");
    const reset = await gateway.admin.send("POST", `${path}/password`, { body: {} });
    expect(problemOf(reset)).toBe("OPERATOR_EXTERNAL");
    const promoted = await issuer.token(key, { ...claims, groups: ["admins"] });
    expect((await me(promoted)).json).toMatchObject({ role: "admin" });
    expect((await me(token)).json).toMatchObject({ role: "admin" });
    expect((await gateway.admin.send("PATCH", path, { body: { disabled: true } })).status).toBe(
      200,
    );
    expect(problemOf(await me(token))).toBe("TOKEN_INVALID");
    const fresh = await issuer.token(key, { ...claims, jti: "2" });
    expect(problemOf(await me(fresh))).toBe("TOKEN_INVALID");
    const body = { id_token: await issuer.token(key, { ...claims, aud: "latticeway-login" }) };
    expect(problemOf(await nobody.send("POST", "/api/v1/auth/oidc", { body }))).toBe(
      "TOKEN_INVALID",
    );
  });

  it("loses one token by itself when it is revoked here", async () => {
    const claims = sub();
    const token = await issuer.token(key, claims);
    expect((await me(token)).status).toBe(200);
    const account = await accountOf(claims.preferred_username);
    const path = `${accounts}/${account?.account_id}/sessions`;
    const { json: sessions } = await gateway.admin.send("GET", path);
    expect(sessions.items).toEqual([expect.objectContaining({ kind: "oidc" })]);
    await gateway.admin.send("DELETE", `${path}/${sessions.items[0].session_id}`);
    expect(problemOf(await me(token))).toBe("TOKEN_INVALID");
    expect((await me(await issuer.token(key, { ...claims, jti: "2" }))).status).toBe(200);
  });

  it("is told what is wrong with a token", async () => {
    const answer = await me(await issuer.token(key, { ...sub(), aud: "other" }));
    expect(problemOf(answer)).toBe("TOKEN_INVALID");
    expect(answer.json.detail).toContain("aud");
    expect(problemOf(await me(await issuer.token(key, { ...sub(), groups: [] })))).toBe(
      "OIDC_ROLE_MISSING",
    );
  });

  it("is not taken for whoever has the name here", async () => {
    const token = await issuer.token(key, { sub: "x", preferred_username: "Admin" });
    expect(problemOf(await me(token))).toBe("OPERATOR_NAME_TAKEN");
    const invisible = await issuer.token(key, { sub: "y", preferred_username: "a\u200Bb" });
    expect(problemOf(await me(invisible))).toBe("OPERATOR_NAME_INVALID");
  });

  it("is one account when its first calls come at once", async () => {
    const claims = sub();
    const all = await Promise.all(
      ["1", "2", "3"].map(async (jti) => me(await issuer.token(key, { ...claims, jti }))),
    );
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it("begins a session by an ID token, once", async () => {
    const claims = { ...sub(), aud: "latticeway-login" };
    const id_token = await issuer.token(key, claims);
    const send = async (body: object) => nobody.send("POST", "/api/v1/auth/oidc", { body });
    const grant = granted(await send({ id_token }));
    expect((await me(grant.access_token)).json).toMatchObject({ name: claims.preferred_username });
    granted(await refresh(grant.refresh_token));
    expect(problemOf(await send({ id_token }))).toBe("TOKEN_INVALID");
    expect(problemOf(await me(id_token))).toBe("TOKEN_INVALID");
    expect(problemOf(await send({ id_token: "x" }))).toBe("TOKEN_INVALID");
    const [failed] = await audited("action=operator.login_failed");
    expect(failed?.detail).toMatchObject({ by: "oidc", reason: "TOKEN_INVALID" });
  });
});

describe("logins from one address", () => {
  it("are bounded", async () => {
    let answer: Answer | undefined;
    for (let each = 0; each < 400 && answer?.status !== 429; each++) answer = await refresh("x");
    expect(answer && problemOf(answer)).toBe("LOGINS_TOO_MANY");
    expect(Number(answer?.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    // Others are not held up by it.
    expect((await gateway.admin.send("GET", "/api/v1/auth/me")).status).toBe(200);
  });
});
