import type { OperatorLevel, Role } from "#server/http/access.ts";

/** Where an account or token says nothing of its own. */
const usualLevel: Record<Role, OperatorLevel> = {
  viewer: "none",
  release_manager: "none",
  campaign_manager: "none",
  approver: "none",
  diagnostician: "control",
  admin: "control",
};

/** How far somebody may go with diagnostics. */
export function levelOf(of: { role: Role; diagnostic_level: OperatorLevel | null }): OperatorLevel {
  return of.diagnostic_level ?? usualLevel[of.role];
}
