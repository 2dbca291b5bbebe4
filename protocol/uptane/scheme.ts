import type { PublicKeyAlgorithm } from "./spki.ts";

/** Hybrid mode asks for each family on its own. */
export type KeyFamily = "classical" | "post-quantum";

/** How a scheme signs. `version` is TAP 21's version byte; undefined where the bytes are signed as they are. */
export interface SignatureScheme {
  /** The first is what we write; the others are read. */
  keytypes: readonly string[];
  algorithm: PublicKeyAlgorithm;
  method: SignatureMethod;
  family: KeyFamily;
  version: number | undefined;
}

/** How bytes and signature are held together, apart from the curve or parameter set. */
export type SignatureMethod =
  | "ecdsa-sha256"
  | "ecdsa-sha384"
  | "ed25519"
  | "rsa-pss-sha256"
  | "rsa-pkcs1v15-sha256"
  | "ml-dsa";

/**
 * The schemes that verify here, by the name that key records give them (TUF 1.0 §4.2, TAP 21).
 * `rsa-pkcs1v15-sha256` and keytypes like `ecdsa-sha2-nistp256` are in no standard, but in use.
 */
export function findScheme(name: string): SignatureScheme | undefined {
  return Object.hasOwn(SCHEMES, name) ? SCHEMES[name] : undefined;
}

/** The scheme that signs with keys of an algorithm, under its name. */
export function schemeFor(
  algorithm: PublicKeyAlgorithm,
): { name: string; scheme: SignatureScheme } | undefined {
  const found = Object.entries(SCHEMES).find(([, scheme]) => scheme.algorithm === algorithm);
  return found === undefined ? undefined : { name: found[0], scheme: found[1] };
}

const classical = { family: "classical", version: undefined } as const;
const mlDsa = {
  keytypes: ["ml-dsa"],
  method: "ml-dsa",
  family: "post-quantum",
  version: 1,
} as const;

const SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  "ecdsa-sha2-nistp256": {
    keytypes: ["ecdsa", "ecdsa-sha2-nistp256"],
    algorithm: "ecdsa-p256",
    method: "ecdsa-sha256",
    ...classical,
  },
  "ecdsa-sha2-nistp384": {
    keytypes: ["ecdsa", "ecdsa-sha2-nistp384"],
    algorithm: "ecdsa-p384",
    method: "ecdsa-sha384",
    ...classical,
  },
  ed25519: { keytypes: ["ed25519"], algorithm: "ed25519", method: "ed25519", ...classical },
  "rsassa-pss-sha256": {
    keytypes: ["rsa"],
    algorithm: "rsa",
    method: "rsa-pss-sha256",
    ...classical,
  },
  "rsa-pkcs1v15-sha256": {
    keytypes: ["rsa"],
    algorithm: "rsa",
    method: "rsa-pkcs1v15-sha256",
    ...classical,
  },
  "ml-dsa-44/1": { algorithm: "ml-dsa-44", ...mlDsa },
  "ml-dsa-65/1": { algorithm: "ml-dsa-65", ...mlDsa },
  "ml-dsa-87/1": { algorithm: "ml-dsa-87", ...mlDsa },
};
