import { ProblemError, type ProblemCode } from "./problem.ts";

/** A refusal that ends by itself. */
export class RetryLater extends ProblemError {
  /** Seconds, as `Retry-After` says it. */
  readonly retryAfterS: number;

  constructor(code: ProblemCode, retryAfterS: number) {
    super(code, `try again in ${retryAfterS} s`);
    this.name = "RetryLater";
    this.retryAfterS = retryAfterS;
  }
}
