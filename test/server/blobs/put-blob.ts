import type { BlobAddress, BlobStore } from "#server/blobs/blob-store.ts";

/** Writes a blob and publishes it. */
export async function putBlob(store: BlobStore, bytes: Buffer): Promise<BlobAddress> {
  const staged = await store.stage();
  for (let at = 0; at < bytes.length; at += 65_536) {
    await staged.write(bytes.subarray(at, at + 65_536));
  }
  const sealed = await staged.seal();
  await sealed.publish();
  return { sha256: sealed.sha256, length: sealed.length };
}
