import { randomUUIDv7 } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Db } from "#server/database/connection.ts";
import { operatorName } from "./operator-name.ts";
import { claimName, insertToken, operatorByToken } from "./queries.ts";
import { hashToken, newToken } from "./token.ts";

/**
 * Makes sure that `{dataDir}/operator.token` (0600) holds an admin token that works, so that the
 * person who started the gateway can use it at once.
 * @returns the file
 */
export async function ensureFirstToken(db: Db, dataDir: string): Promise<string> {
  const file = join(dataDir, "operator.token");
  const kept = await readFile(file, "utf8").catch(() => "");
  if (kept !== "" && (await operatorByToken(db, hashToken(kept.trim())))) return file;
  const token = newToken();
  await writeFile(file, `${token}\n`, { mode: 0o600 });
  const { name, name_key } = operatorName("first-admin");
  await claimName(db, { name, name_key, kind: "token" });
  await insertToken(db, {
    token_id: randomUUIDv7(),
    name,
    role: "admin",
    token_sha256: hashToken(token),
    expires_at: null,
  });
  return file;
}
