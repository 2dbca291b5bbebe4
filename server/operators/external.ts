import { randomUUIDv7 } from "node:crypto";
import { ProblemError } from "#protocol/api/problem.ts";
import { appendEntry, type NewAuditEntry } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Authenticate } from "#server/http/access.ts";
import { externalAccount, insertAccount, updateAccount, vouch } from "./account-queries.ts";
import { looksIssued, type Identity, type Issuer } from "./issuer.ts";
import { operatorName } from "./operator-name.ts";
import { claimName, operatorById, operatorByToken } from "./queries.ts";
import { rememberIssued } from "./session-queries.ts";
import { hashToken } from "./token.ts";

/** For so long a token of the issuer is taken without being verified again. */
const VERIFIED_MS = 15 * 60_000;

/**
 * Who shows a token: one of the gateway's own, or one that the issuer signed. That is verified once
 * and then known by its hash, so that it costs no more than others, and can be revoked here.
 */
export function createAuthenticate(db: Db, issuer: Issuer | undefined): Authenticate {
  return async (token) => {
    const token_sha256 = hashToken(token);
    const known = await operatorByToken(db, token_sha256);
    if (known !== undefined || issuer === undefined || !looksIssued(token)) return known;
    const identity = await issuer.verifyAccessToken(token);
    const id = await db.transaction().execute(async (tx) => {
      const { entries, ...account } = await admit(tx, identity);
      const ends_at = identity.expiresAt;
      const expires_at = new Date(Math.min(+ends_at, Date.now() + VERIFIED_MS));
      const seen = { ...account, token_id: randomUUIDv7(), token_sha256, expires_at, ends_at };
      const token_id = await rememberIssued(tx, seen);
      if (token_id === seen.token_id) {
        const detail = { by: "token", account_id: account.account_id };
        const actor = `operator:${account.name}`;
        entries.push({ actor, action: "operator.login", subject: token_id, detail });
      }
      for (const entry of entries) await appendEntry(tx, entry);
      return token_id;
    });
    return id === undefined ? undefined : operatorById(db, id);
  };
}

/** The account of somebody whom the issuer vouches for, with the role that it names now. */
export async function externalLogin(
  db: Db,
  identity: Identity,
): Promise<{ account_id: string; name: string }> {
  return db.transaction().execute(async (tx) => {
    const { entries, ...account } = await admit(tx, identity);
    for (const entry of entries) await appendEntry(tx, entry);
    return account;
  });
}

/** @returns also what is to go to the audit log, as the transaction's last step */
async function admit(
  tx: Tx,
  identity: Identity,
): Promise<{ account_id: string; name: string; entries: NewAuditEntry[] }> {
  const { issuer, subject, role, diagnostic_level } = identity;
  const before = await externalAccount(tx, issuer, subject);
  if (before === undefined) {
    const made = await create(tx, identity);
    if (made !== undefined) return made;
  }
  // Two of its calls may come at once.
  const account = before ?? (await externalAccount(tx, issuer, subject));
  if (account === undefined) throw new ProblemError("OPERATOR_NAME_TAKEN", identity.name);
  if (account.barred) throw new ProblemError("TOKEN_INVALID", "the account is disabled");
  const { account_id, name } = account;
  await vouch(tx, account_id, identity.vouched_s);
  const entries: NewAuditEntry[] = [];
  if (account.role !== role || account.diagnostic_level !== diagnostic_level) {
    await updateAccount(tx, account_id, { role, diagnostic_level });
    const old = { role: account.role, diagnostic_level: account.diagnostic_level };
    entries.push(entry("operator.changed", account_id, { before: old, role, diagnostic_level }));
  }
  return { account_id, name, entries };
}

async function create(tx: Tx, identity: Identity) {
  const { issuer, subject, vouched_s, role, diagnostic_level } = identity;
  const { name, name_key } = operatorName(identity.name);
  if (!(await claimName(tx, { name, name_key, kind: "account" }))) return undefined;
  const account_id = randomUUIDv7();
  const rights = { role, diagnostic_level };
  const account = { account_id, name, display_name: null, password_hash: null, ...rights };
  await insertAccount(tx, { ...account, external: { issuer, subject, vouched_s } });
  const detail = { name, issuer, subject, ...rights };
  return { account_id, name, entries: [entry("operator.created", account_id, detail)] };
}

function entry(action: string, subject: string, detail: Record<string, unknown>): NewAuditEntry {
  return { actor: "gateway", action, subject, detail };
}
