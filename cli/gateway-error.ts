import type { Problem } from "#protocol/api/problem.ts";

/** The text of a filter that the gateway can't read, and where. */
export interface FilterMistake {
  text: string;
  position: NonNullable<Problem["position"]>;
}

/** The gateway can't be reached, refuses, or answers something else than it should. */
export class GatewayError extends Error {
  /** Its own code where it gave one, see docs/errors.md. */
  readonly code: string;
  readonly filter: FilterMistake | undefined;

  constructor(code: string, message: string, filter?: FilterMistake) {
    super(message);
    this.name = "GatewayError";
    this.code = code;
    this.filter = filter;
  }
}
