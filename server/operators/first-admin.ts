import { randomUUIDv7 } from "node:crypto";
import { appendEntry } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { anyAccount, insertAccount } from "./account-queries.ts";
import { operatorName } from "./operator-name.ts";
import { randomPassword, type Passwords } from "./password.ts";
import { claimName } from "./queries.ts";

/** Somebody who has been given an account. */
export interface FirstAdmin {
  name: string;
  /** Temporary: good for setting another at the first login, so that a copy of it is worth nothing. */
  password: string;
}

/**
 * Makes the account `admin` where there is none at all yet.
 * @returns what whoever started the gateway has to be told, once; it is kept nowhere
 */
export async function ensureFirstAdmin(
  db: Db,
  passwords: Passwords,
): Promise<FirstAdmin | undefined> {
  if (await anyAccount(db)) return undefined;
  const { name, name_key } = operatorName("admin");
  const password = randomPassword();
  const password_hash = await passwords.hash(password);
  const account_id = randomUUIDv7();
  const isOurs = await db.transaction().execute(async (tx) => {
    // Another gateway on this database was faster, or tokens are called so.
    if (!(await claimName(tx, { name, name_key, kind: "account" }))) return false;
    const account = { account_id, name, display_name: null, diagnostic_level: null } as const;
    await insertAccount(tx, { ...account, role: "admin", password_hash, password_temporary: true });
    const detail = { name, role: "admin" };
    await appendEntry(tx, {
      actor: "gateway",
      action: "operator.created",
      subject: account_id,
      detail,
    });
    return true;
  });
  return isOurs ? { name, password } : undefined;
}
