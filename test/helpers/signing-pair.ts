import { generateKeys, HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { keySigner, writeSigningPublicKeys, type Signer } from "#crypto/signing-keys.ts";

/** A new hybrid pair. */
export function signingPair(): Signer[] {
  return HYBRID_ALGORITHMS.map((algorithm) =>
    keySigner(algorithm, generateKeys(algorithm).privateKey),
  );
}

/** A new hybrid pair whose public keys lie in the folder. */
export async function signingPairIn(folder: string): Promise<Signer[]> {
  const signers = signingPair();
  await writeSigningPublicKeys(folder, signers);
  return signers;
}
