import { readFile } from "node:fs/promises";
import { Grant } from "#protocol/api/operator.ts";
import { accepted, openClient, parse, type GatewayClient } from "./gateway-client.ts";
import { GatewayError } from "./gateway-error.ts";
import { locked, readSession, sessionFile, writeSession, type Session } from "./session-file.ts";

/** Which gateway, and as whom. */
export interface Credentials {
  url: string;
  ca: Buffer | undefined;
  /** Another token can be had in place of one that was refused. */
  renews: boolean;
  /** @param refused what the gateway does not take any more. @throws GatewayError */
  token(refused?: string): Promise<string>;
}

/**
 * The environment goes before what `latticeway login` has stored.
 * @throws GatewayError GATEWAY_UNNAMED, LOGIN_MISSING
 */
export async function credentialsOf(env: NodeJS.ProcessEnv): Promise<Credentials> {
  const { LATTICEWAY_URL: url, LATTICEWAY_TOKEN: token, LATTICEWAY_CA: ca } = env;
  if (!token) return credentialsOfSession(env);
  if (!url)
    throw new GatewayError("GATEWAY_UNNAMED", "LATTICEWAY_TOKEN is set, LATTICEWAY_URL not");
  const pem = ca ? await readFile(ca) : undefined;
  return { url, ca: pem, renews: false, token: async () => token };
}

async function credentialsOfSession(env: NodeJS.ProcessEnv): Promise<Credentials> {
  const { LATTICEWAY_URL: url, LATTICEWAY_CA: ca } = env;
  const file = sessionFile(env);
  const session = await readSession(file);
  if (session === undefined || (url && originOf(url) !== originOf(session.url))) {
    const where = url ? ` to ${url}` : "";
    throw new GatewayError("LOGIN_MISSING", `nobody is logged in${where}`);
  }
  const pem = ca || session.ca;
  const kept = pem ? await readFile(pem) : undefined;
  return {
    url: session.url,
    ca: kept,
    renews: true,
    token: (refused) => currentToken(file, kept, refused),
  };
}

/** A session is shown to its own gateway and to no other. */
function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url;
}

async function currentToken(file: string, ca: Buffer | undefined, refused?: string) {
  const session = await readSession(file);
  if (session && isGood(session, refused)) return session.access_token;
  return locked(file, async () => {
    // Another command may have been faster.
    const newest = await readSession(file);
    if (newest === undefined) throw new GatewayError("LOGIN_MISSING", "logged out meanwhile");
    if (isGood(newest, refused)) return newest.access_token;
    const client = openClient(newest.url, ca);
    try {
      const { refresh_token } = newest;
      const grant = await granted(client, "/auth/refresh", { refresh_token });
      await writeSession(file, { ...newest, ...kept(grant) });
      return grant.access_token;
    } finally {
      await client.close();
    }
  });
}

/** A request takes a while. */
const SPARE_MS = 20_000;

function isGood(session: Session, refused: string | undefined): boolean {
  return session.access_token !== refused && Date.parse(session.expires_at) - SPARE_MS > Date.now();
}

/** What a login or a refresh gives. @throws GatewayError */
export async function granted(
  client: GatewayClient,
  path: string,
  content: object,
): Promise<Grant> {
  const body = Buffer.from(JSON.stringify(content));
  const sent = { method: "POST", path, body } as const;
  return parse(await accepted(sent, await client.send(sent)), path, Grant);
}

/** What of it is stored. */
export function kept({ access_token, expires_in, refresh_token, session_id }: Grant) {
  const expires_at = new Date(Date.now() + expires_in * 1000).toISOString();
  return { access_token, expires_at, refresh_token, session_id };
}
