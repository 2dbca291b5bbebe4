export type FlashErrorCode =
  /** A routine ran and said no. */
  | "FLASH_CHECK_FAILED"
  /** The image is longer or shorter than announced. */
  | "FLASH_IMAGE_LENGTH"
  /** The ECU did not come back from its restart. */
  | "FLASH_NO_RESTART";

export class FlashError extends Error {
  readonly code: FlashErrorCode;

  constructor(code: FlashErrorCode, message: string) {
    super(message);
    this.name = "FlashError";
    this.code = code;
  }
}
