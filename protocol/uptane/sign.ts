import type { Signer } from "#crypto/signing-keys.ts";
import { canonicalJson } from "./canonical-json.ts";
import { parseMetadata, readJson, type Metadata, type TopLevelRole } from "./metadata.ts";
import { signBytes, type Signature } from "./signature.ts";
import { UptaneError } from "./uptane-error.ts";

/**
 * The bytes of a metadata file: `signed`, and beside it a signature of each signer over its
 * canonical form (TUF 1.0 §4.2.1). The file is compact JSON and not canonical itself, for keys in
 * PEM have line breaks, which canonical JSON leaves as they are.
 * @throws CanonicalJsonError for a value that has no canonical form
 */
export async function signMetadata(signed: object, signers: readonly Signer[]): Promise<Buffer> {
  return metadataFile(signed, await signBytes(canonicalJson(signed), signers));
}

/**
 * Signs a file of any role once more, so that several people sign it one after the other. A
 * signature of the same key that was there is replaced; the others stay.
 * @throws UptaneError UPTANE_METADATA_* for bytes that are not a metadata file
 */
export async function addSignatures(
  bytes: Uint8Array,
  signers: readonly Signer[],
): Promise<Buffer> {
  const { signed, signedBytes, signatures } = parseAnyMetadata(bytes);
  const added = await signBytes(signedBytes, signers);
  const ids = new Set(added.map(({ keyid }) => keyid));
  const kept = signatures.filter(({ keyid }) => !ids.has(keyid));
  return metadataFile(signed, [...kept, ...added]);
}

/**
 * Reads a file whose role is not known before; delegated targets are `targets`.
 * @throws UptaneError UPTANE_METADATA_*
 */
export function parseAnyMetadata(bytes: Uint8Array): Metadata<TopLevelRole> & {
  role: TopLevelRole;
} {
  const role = roleOf(bytes);
  return { role, ...parseMetadata(role, bytes) };
}

const ROLES: readonly string[] = ["root", "timestamp", "snapshot", "targets"];

/** Looks at no more than the type; what else is wrong, the role's own reader says. */
function roleOf(bytes: Uint8Array): TopLevelRole {
  const file = readJson(bytes, "metadata") as { signed?: { _type?: unknown } } | null;
  const type = file?.signed?._type;
  if (typeof type === "string" && ROLES.includes(type)) return type as TopLevelRole;
  throw new UptaneError("UPTANE_METADATA_TYPE", "metadata", `its _type is ${JSON.stringify(type)}`);
}

function metadataFile(signed: object, signatures: readonly Signature[]): Buffer {
  const ordered = signatures.toSorted((a, b) => (a.keyid < b.keyid ? -1 : 1));
  return Buffer.from(JSON.stringify({ signatures: ordered, signed }));
}
