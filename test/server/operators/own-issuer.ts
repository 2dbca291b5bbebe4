import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  exportJWK,
  generateKeyPair,
  SignJWT,
  type CryptoKey,
  type JWK,
  type JWTPayload,
} from "jose";

/** A small OpenID Connect issuer on the loopback interface. */
export async function startIssuer() {
  /** What it publishes. */
  let keys: JWK[] = [];
  const asked = { configuration: 0, keys: 0 };
  /** What it answers in place of what it should. */
  const fault: { configuration?: string; keys?: string; status?: number } = {};
  const server = createServer(({ url }, response) => {
    const isKeys = url === "/keys";
    asked[isKeys ? "keys" : "configuration"]++;
    const usual = isKeys ? { keys } : { issuer: issuer(), jwks_uri: `${issuer()}/keys` };
    const answer = (isKeys ? fault.keys : fault.configuration) ?? JSON.stringify(usual);
    response.writeHead(fault.status ?? 200, {
      "content-type": "application/json",
      location: `${issuer()}/elsewhere`,
    });
    response.end(answer);
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  const issuer = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  /** Makes a key, which it signs with from now on. */
  async function rotate(kid: string, alg = "ES256"): Promise<SigningKey> {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: "sig" };
    keys = [jwk];
    return { kid, alg, privateKey, jwk };
  }

  return {
    issuer: issuer(),
    asked,
    fault,
    rotate,
    publish(...all: SigningKey[]) {
      keys = all.map(({ jwk }) => jwk);
    },
    /** A token of somebody, of which claims and header can be other than usual. */
    async token(
      { kid, alg, privateKey }: Omit<SigningKey, "jwk">,
      claims: JWTPayload = {},
      header: object = {},
    ): Promise<string> {
      const now = Math.floor(Date.now() / 1000);
      const usual = {
        iss: issuer(),
        aud: "latticeway",
        sub: "u-1",
        iat: now,
        exp: now + 300,
        preferred_username: "erin",
        groups: ["staff", "workshop"],
      };
      const payload = Object.entries({ ...usual, ...claims }).filter(
        ([, each]) => each !== undefined,
      );
      return new SignJWT(Object.fromEntries(payload))
        .setProtectedHeader({ alg, kid, ...header })
        .sign(privateKey);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

export interface SigningKey {
  kid: string;
  alg: string;
  privateKey: CryptoKey | Uint8Array;
  jwk: JWK;
}
