/** Why a script did not run to its end, as a vehicle says it. */
export const scriptErrors = {
  SCRIPT_INVALID: "the script is deeper or longer than a vehicle takes",
  SCRIPT_STEP_FAILED: "an answer was not what its step expects",
  SCRIPT_FAILED: "the script itself says that it has failed",
  SCRIPT_LIMIT: "the run has sent as many requests, or done as many steps, as one may",
  SCRIPT_PROOF_MISSING: "no key or proof came from the gateway",
  SCRIPT_CANCELLED: "given up when somebody asked for it, or when its session ended",
  SCRIPT_EXPIRED: "its time was over",
  SCRIPT_INTERRUPTED:
    "the VMG was restarted meanwhile; what the script did so far has taken effect",
} as const;
export type ScriptErrorCode = keyof typeof scriptErrors;
