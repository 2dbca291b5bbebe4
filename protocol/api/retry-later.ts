import { ProblemError, type ProblemCode } from "./problem.ts";

/** A refusal that ends by itself. */
export class RetryLater extends ProblemError {
  /** Seconds. */
  override readonly retry_after_s: number;

  constructor(code: ProblemCode, seconds: number) {
    super(code, `try again in ${seconds} s`);
    this.name = "RetryLater";
    this.retry_after_s = seconds;
  }
}
