/** Whose remote diagnostics ends: what fits everything that is named; the whole fleet's if nothing is. */
export interface Revocation {
  revocation_id: string;
  vin: string | null;
  operator: string | null;
  token_id: string | null;
  /** `operator_revoked`: because the token was. */
  cause: "revoked" | "operator_revoked";
  reason: string;
  revoked_by: string;
  /** By the database's clock: what began later is not meant. */
  changed_at: Date;
}

export type NewRevocation = Pick<Revocation, "cause" | "reason" | "revoked_by"> &
  Partial<Pick<Revocation, "vin" | "operator" | "token_id">>;
