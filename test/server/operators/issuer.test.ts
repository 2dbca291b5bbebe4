import { createPublicKey, createSecretKey } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { loadServerConfig } from "#config/server.ts";
import { createIssuer, looksIssued } from "#server/operators/issuer.ts";
import { silentLog } from "#test/server/own-database.ts";
import { startIssuer, type SigningKey } from "./own-issuer.ts";

let issuer: Awaited<ReturnType<typeof startIssuer>>;
let key: SigningKey;

beforeAll(async () => {
  issuer = await startIssuer();
});
beforeEach(async () => {
  Object.assign(issuer.fault, { configuration: undefined, keys: undefined, status: undefined });
  key = await issuer.rotate("k1");
});
afterAll(() => issuer.close());

/** The gateway's side, as it is after its start. */
function verifier({
  cooldownMs,
  ...change
}: { cooldownMs?: number } & Record<string, unknown> = {}) {
  const config = {
    ...loadServerConfig({}).oidc,
    issuer: issuer.issuer,
    audience: "latticeway",
    client_id: "latticeway-login",
    roles: { admins: "admin", workshop: "diagnostician" } as const,
    levels: { workshop: "read" } as const,
    clock_tolerance_s: 30,
    ...change,
  };
  return createIssuer({ config, log: silentLog, ...(cooldownMs !== undefined && { cooldownMs }) });
}
const seconds = (ahead: number) => Math.floor(Date.now() / 1000) + ahead;
const refusal = (code: string, message: string | RegExp = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as string });

describe("a token of the issuer", () => {
  it("says who it is, and by the configuration what they may", async () => {
    const token = await issuer.token(key, { exp: 4_000_000_000 });
    expect(looksIssued(token)).toBe(true);
    expect(await verifier().verifyAccessToken(token)).toEqual({
      issuer: issuer.issuer,
      subject: "u-1",
      name: "erin",
      role: "diagnostician",
      diagnostic_level: "read",
      expiresAt: new Date(4_000_000_000_000),
      vouched_s: 7 * 86_400,
    });
  });

  it.each(["RS256", "PS256", "ES384", "EdDSA", "ML-DSA-65"])("may be signed by %s", async (alg) => {
    key = await issuer.rotate("k2", alg);
    expect(await verifier().verifyAccessToken(await issuer.token(key))).toMatchObject({
      name: "erin",
    });
  });

  it("has its role by the first group that the configuration knows, wherever the claim lies", async () => {
    const change = { role_claim: "realm_access.roles" };
    const both = { groups: undefined, realm_access: { roles: ["workshop", "admins"] } };
    const token = await issuer.token(key, both);
    expect(await verifier(change).verifyAccessToken(token)).toMatchObject({ role: "admin" });
    const named = { groups: undefined, "https://example.com/roles": "admins" };
    const other = { role_claim: "https://example.com/roles" };
    expect(await verifier(other).verifyAccessToken(await issuer.token(key, named))).toMatchObject({
      role: "admin",
      diagnostic_level: null,
    });
  });

  it.each([
    ["of no group that is known", { groups: ["staff"] }, "OIDC_ROLE_MISSING"],
    ["without groups", { groups: undefined }, "OIDC_ROLE_MISSING"],
    ["with groups that are no text", { groups: [{ workshop: true }, 1] }, "OIDC_ROLE_MISSING"],
    ["of a group called as what objects have", { groups: ["constructor"] }, "OIDC_ROLE_MISSING"],
    ["for somebody else's audience", { aud: "other" }, "TOKEN_INVALID", /"aud"/],
    ["for the login, not the API", { aud: "latticeway-login" }, "TOKEN_INVALID", /"aud"/],
    ["without audience", { aud: undefined }, "TOKEN_INVALID", /"aud"/],
    ["of another issuer", { iss: "http://127.0.0.1:1" }, "TOKEN_INVALID", /"iss"/],
    ["that has expired", { exp: seconds(-31) }, "TOKEN_INVALID", /"exp"/],
    ["that never expires", { exp: undefined }, "TOKEN_INVALID", /"exp"/],
    ["that is not good yet", { nbf: seconds(90) }, "TOKEN_INVALID", /"nbf"/],
    ["of several somebodies", { sub: { id: 1 } }, "TOKEN_INVALID", /"sub"/],
    ["of somebody without end", { sub: "x".repeat(256) }, "TOKEN_INVALID", /"sub"/],
    ["of nobody", { sub: undefined }, "TOKEN_INVALID", /"sub"/],
    ["without a name", { preferred_username: undefined }, "TOKEN_INVALID", /preferred_username/],
    ["with a name that is no text", { preferred_username: ["a"] }, "TOKEN_INVALID", /preferred/],
  ])("%s is refused", async (_, claims, code, message?: RegExp) => {
    const token = await issuer.token(key, { ...(claims as object) });
    await expect(verifier().verifyAccessToken(token)).rejects.toEqual(refusal(code, message));
  });

  it("is let off half a minute between the clocks", async () => {
    const token = await issuer.token(key, { exp: seconds(-20), nbf: seconds(20) });
    expect(await verifier().verifyAccessToken(token)).toMatchObject({ name: "erin" });
  });

  it("of another kind, such as a logout token, is refused", async () => {
    const token = await issuer.token(key, {}, { typ: "logout+jwt" });
    await expect(verifier().verifyAccessToken(token)).rejects.toEqual(
      refusal("TOKEN_INVALID", "logout"),
    );
    const usual = await issuer.token(key, {}, { typ: "at+jwt" });
    expect(await verifier().verifyAccessToken(usual)).toMatchObject({ name: "erin" });
  });
});

describe("a forged token", () => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = async () => (await issuer.token(key)).split(".")[1] ?? "";

  it("without signature is refused", async () => {
    const none = `${part({ alg: "none", kid: "k1" })}.${await claims()}.`;
    expect(looksIssued(none)).toBe(false);
    await expect(verifier().verifyAccessToken(none)).rejects.toEqual(refusal("TOKEN_INVALID"));
    const signed = `${part({ alg: "none", kid: "k1" })}.${await claims()}.AAAA`;
    await expect(verifier().verifyAccessToken(signed)).rejects.toEqual(
      refusal("TOKEN_INVALID", "alg"),
    );
  });

  it("with a MAC under the public key is refused", async () => {
    key = await issuer.rotate("k3", "RS256");
    const pem = createPublicKey({ key: { ...key.jwk }, format: "jwk" }).export({
      type: "spki",
      format: "pem",
    });
    const privateKey = createSecretKey(Buffer.from(pem)).export();
    const token = await issuer.token({ kid: "k3", alg: "HS256", privateKey });
    await expect(verifier().verifyAccessToken(token)).rejects.toEqual(
      refusal("TOKEN_INVALID", "alg"),
    );
  });

  it("by another key, under the name of the right one or with a key of its own, is refused", async () => {
    const own = await issuer.rotate("k1");
    issuer.publish(key);
    const token = await issuer.token(own);
    await expect(verifier().verifyAccessToken(token)).rejects.toEqual(
      refusal("TOKEN_INVALID", "signature"),
    );
    const header = { jwk: own.jwk, jku: `${issuer.issuer}/own` };
    const brought = await issuer.token(own, {}, header);
    await expect(verifier().verifyAccessToken(brought)).rejects.toEqual(
      refusal("TOKEN_INVALID", "signature"),
    );
  });

  it("whose claims were changed is refused", async () => {
    const [head, , signature] = (await issuer.token(key)).split(".");
    const [, body] = (await issuer.token(key, { groups: ["admins"] })).split(".");
    await expect(verifier().verifyAccessToken(`${head}.${body}.${signature}`)).rejects.toEqual(
      refusal("TOKEN_INVALID", "signature"),
    );
  });

  it.each([
    "eyJ.eyJ.x",
    "eyJhbGciOiJFUzI1NiJ9.bm8.AAAA",
    "eyJhbGciOlsiRVMyNTYiXX0.e30.AAAA",
    `eyJ${"A".repeat(20_000)}.e30.AAAA`,
    "eyJhbGciOiJFUzI1NiIsImNyaXQiOlsieCJdLCJ4IjoxfQ.e30.AAAA",
    "a.b.c.d.e",
    "",
  ])("that is none is refused (%#)", async (token) => {
    await expect(verifier().verifyAccessToken(token)).rejects.toEqual(refusal("TOKEN_INVALID"));
  });
});

describe("the issuer's keys", () => {
  it("are read once, and again for a new one, but not for every name that somebody thinks up", async () => {
    const gateway = verifier();
    const before = { ...issuer.asked };
    const token = await issuer.token(key);
    await Promise.all([gateway.verifyAccessToken(token), gateway.verifyAccessToken(token)]);
    for (let each = 0; each < 5; each++) {
      const unknown = await issuer.token({ ...key, kid: `x${each}` });
      await expect(gateway.verifyAccessToken(unknown)).rejects.toEqual(
        refusal("TOKEN_INVALID", "key"),
      );
    }
    expect(issuer.asked.keys).toBe(before.keys + 1);

    const eager = verifier({ cooldownMs: 0 });
    await eager.verifyAccessToken(token);
    const next = await issuer.rotate("k4");
    expect(await eager.verifyAccessToken(await issuer.token(next))).toMatchObject({ name: "erin" });
    // What it no longer publishes is worth nothing.
    await expect(eager.verifyAccessToken(token)).rejects.toEqual(refusal("TOKEN_INVALID", "key"));
  });

  it.each([
    ["an error", { status: 500 }],
    ["a redirect", { status: 302 }],
    ["no JSON", { configuration: "<html>" }],
    [
      "another issuer",
      { configuration: '{"issuer":"http://127.0.0.1:1","jwks_uri":"http://127.0.0.1:1"}' },
    ],
    ["no keys", { keys: '{"keys":3}' }],
    ["far too much", { keys: `{"keys":[${" ".repeat(1_100_000)}]}` }],
  ])("can't be read when it answers with %s", async (_, fault) => {
    Object.assign(issuer.fault, fault);
    const gateway = verifier();
    const token = await issuer.token(key);
    await expect(gateway.verifyAccessToken(token)).rejects.toEqual(refusal("OIDC_UNAVAILABLE"));
  });

  it("are not asked for again at once of an issuer that has failed", async () => {
    Object.assign(issuer.fault, { status: 503 });
    const gateway = verifier();
    const token = await issuer.token(key);
    await expect(gateway.verifyAccessToken(token)).rejects.toEqual(refusal("OIDC_UNAVAILABLE"));
    const { configuration } = issuer.asked;
    await expect(gateway.verifyAccessToken(token)).rejects.toEqual(refusal("OIDC_UNAVAILABLE"));
    expect(issuer.asked.configuration).toBe(configuration);
  });
});

describe("an ID token", () => {
  const usual = { aud: "latticeway-login" };
  const shown = async (claims: object) =>
    verifier().verifyIdToken(await issuer.token(key, { ...usual, ...claims }));

  it("is for the login's client", async () => {
    expect(await shown({})).toMatchObject({ name: "erin", role: "diagnostician" });
    expect(await shown({ aud: ["latticeway-login", "x"], azp: "latticeway-login" })).toMatchObject({
      name: "erin",
    });
  });

  it.each([
    ["for the API", { aud: "latticeway" }, "TOKEN_INVALID"],
    ["for another client", { aud: ["latticeway-login", "x"], azp: "x" }, "TOKEN_INVALID"],
    ["for several, and not said for whom", { aud: ["latticeway-login", "x"] }, "TOKEN_INVALID"],
    ["of the time to come", { iat: seconds(90) }, "TOKEN_INVALID"],
    ["made long ago", { iat: seconds(-700) }, "TOKEN_INVALID"],
    ["that doesn't say when it was made", { iat: undefined }, "TOKEN_INVALID"],
  ])("%s is refused", async (_, claims, code) => {
    await expect(shown(claims)).rejects.toEqual(refusal(code));
  });

  it("is no access token, whomever that is for", async () => {
    const token = await issuer.token(key, usual, { typ: "at+jwt" });
    await expect(verifier().verifyIdToken(token)).rejects.toEqual(refusal("TOKEN_INVALID", "typ"));
  });

  it("is of no use where logins by it are off, and so an access token", async () => {
    const off = verifier({ client_id: "", audience: "" });
    await expect(off.verifyIdToken(await issuer.token(key, usual))).rejects.toEqual(
      refusal("OIDC_OFF"),
    );
    await expect(off.verifyAccessToken(await issuer.token(key, { aud: "" }))).rejects.toEqual(
      refusal("TOKEN_INVALID"),
    );
  });
});
