import { toHex } from "#protocol/bytes/hex.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import {
  authorize,
  DiagnosticDenied,
  type Authorization,
} from "#server/diagnostic-policy/authorize.ts";

type Ask = Parameters<typeof authorize>[1];

/** A refusal names so many of what was asked for. */
const MAX_NAMED = 20;

/**
 * Asks the policy, and enters a refusal in the audit log.
 * @throws DiagnosticDenied
 */
export async function permission(
  { db, audit }: { db: Db; audit: AuditLog },
  ask: Ask,
): Promise<Authorization> {
  try {
    return await authorize(db, ask);
  } catch (error) {
    if (error instanceof DiagnosticDenied) {
      await audit.append({
        actor: `operator:${ask.operator.name}`,
        action: "diagnostics.denied",
        vin: ask.vin,
        ...(ask.ecus.length === 1 && ask.ecus[0] ? { ecu_id: ask.ecus[0].ecu_id } : {}),
        detail: {
          requests: ask.requests.slice(0, MAX_NAMED).map(toHex),
          reason: error.message,
          rule_id: error.rule_id,
          token_id: ask.operator.token_id,
        },
      });
    }
    throw error;
  }
}
