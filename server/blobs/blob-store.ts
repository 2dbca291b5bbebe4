/** A blob being written. Nothing of it is found before it is sealed and published. */
export interface StagedBlob {
  /** Resolves when the bytes are written; the caller waits, which is the back-pressure. */
  write(chunk: Uint8Array): Promise<void>;
  /** Ends the writing and makes the bytes durable: slow when they are many. */
  seal(): Promise<SealedBlob>;
  /** Drops it, sealed or not; does nothing once it is published. */
  discard(): Promise<void>;
}

/** Content-addressed: a blob's name is the SHA-256 of its bytes. */
export interface BlobAddress {
  /** Lower-case hex. */
  sha256: string;
  length: number;
}

/** A blob that is complete and durable, but not found under its address yet. */
export interface SealedBlob extends BlobAddress {
  /**
   * Makes it found, durably; quick, however long it is.
   * @throws ProblemError BLOB_CORRUPT when the bytes were touched since they were sealed
   */
  publish(): Promise<void>;
}

/** A stored blob that is being read. */
export interface OpenBlob {
  /**
   * Reads from `position` on into a buffer, up to its length.
   * @returns bytes read; 0 only at the end of the blob
   */
  read(into: Uint8Array, position: number): Promise<number>;
  /**
   * Makes sure that what was read so far is what the blob holds; cheap.
   * @throws ProblemError BLOB_CORRUPT when the file was touched since it was opened
   */
  assertUnchanged(): Promise<void>;
  close(): Promise<void>;
}

export interface BlobStore {
  stage(): Promise<StagedBlob>;
  /**
   * Makes sure that the stored bytes still have their hash; cheap when they were checked, or
   * written, before and the file has not been touched since. Checks them once for all who ask at
   * the same time.
   * @throws ProblemError BLOB_CORRUPT when they don't, or are gone, or change meanwhile
   */
  verify(blob: BlobAddress): Promise<void>;
  /**
   * Opens a blob for reading. The very file that was opened is checked as {@link verify} does it,
   * which costs next to nothing after that.
   * @throws ProblemError BLOB_CORRUPT
   */
  open(sha256: string): Promise<OpenBlob>;
}
