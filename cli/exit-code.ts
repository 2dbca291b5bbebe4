/** What a shell sees: 0 done, 1 refused or failed, and what a script can act upon. */
const exitCodes = { failed: 1, usage: 2, unreachable: 3, loginNeeded: 4 } as const;

const byCode: Readonly<Record<string, number>> = {
  COMMAND_USAGE: exitCodes.usage,
  GATEWAY_UNNAMED: exitCodes.loginNeeded,
  GATEWAY_UNREACHABLE: exitCodes.unreachable,
  LOGIN_MISSING: exitCodes.loginNeeded,
  LOGIN_REFUSED: exitCodes.loginNeeded,
  REFRESH_TOKEN_INVALID: exitCodes.loginNeeded,
  REFRESH_TOKEN_REUSED: exitCodes.loginNeeded,
  TOKEN_INVALID: exitCodes.loginNeeded,
  TOKEN_REQUIRED: exitCodes.loginNeeded,
};

/** The exit code of an error by its stable code. */
export function exitCodeOf(code: string): number {
  return byCode[code] ?? exitCodes.failed;
}

/** commander's own errors are about usage; help that was asked for is none. */
export function exitCodeOfCommander({ code, exitCode }: { code: string; exitCode: number }) {
  return exitCode !== 0 && code.startsWith("commander.") ? exitCodes.usage : exitCode;
}
