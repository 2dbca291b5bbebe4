/** A command was not given as it has to be. */
export class UsageError extends Error {
  readonly code = "COMMAND_USAGE";

  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}
