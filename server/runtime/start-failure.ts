/**
 * What is said of a start that failed. An error with a code of its own (of the configuration, the
 * certificates, the database, the system) explains itself, behind that code; with any other, and with those that Node
 * throws at a wrong call (`ERR_…`), only the stack tells where to look.
 */
export function startFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  if (typeof code !== "string" || code.startsWith("ERR_")) return error.stack ?? error.message;
  // A host with several addresses fails once for each, and the whole has no text.
  if (error instanceof AggregateError) return error.errors.map(startFailure).join("\n");
  // Those of the system have it in their text.
  return error.message.includes(code) ? error.message : `${code}: ${error.message}`;
}
