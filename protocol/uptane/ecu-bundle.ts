import { ByteError, ByteReader } from "#protocol/bytes/reader.ts";
import { byteWriter, type ByteWriter } from "#protocol/bytes/writer.ts";
import { MAX_METADATA_BYTES, parseMetadata, type TopLevelRole } from "./metadata.ts";
import type { DirectorFiles } from "./partial-verification.ts";
import { MAX_SIGNATURE_DIGITS, type Signature } from "./signature.ts";
import { UptaneError } from "./uptane-error.ts";

/*
 * The director's metadata as ECUs are given it: what was signed as it was signed, and signatures
 * and key ids in binary, in half the bytes.
 *
 *   bundle     = version (1) | roots (1) | file … (the roots in order, then the targets)
 *   file       = length (4) | canonical JSON of `signed` | signatures (1) | signature …
 *   signature  = key id length (1), 0 for 32 raw bytes | key id | length (2) | signature
 */

const VERSION = 1;

/** The most that an ECU takes into its memory. */
export const MAX_BUNDLE_BYTES = 1024 * 1024;
const MAX_ROOTS = 64;
const MAX_SIGNATURES = 64;
const RAW_KEY_ID_BYTES = 32;

/**
 * Writes metadata files, JSON as the director serves them, for an ECU.
 * @throws UptaneError UPTANE_METADATA_* for files that are none, or too much for an ECU
 */
export function encodeEcuBundle({ roots, targets }: DirectorFiles): Buffer {
  if (roots.length > MAX_ROOTS) throw tooLarge(`${roots.length} roots`);
  const writer = byteWriter().u8(VERSION).u8(roots.length);
  for (const root of roots) writeFile(writer, "root", root);
  writeFile(writer, "targets", targets);
  const bundle = writer.done();
  if (bundle.length > MAX_BUNDLE_BYTES) throw tooLarge(`${bundle.length} bytes`);
  return bundle;
}

function writeFile(writer: ByteWriter, role: TopLevelRole, bytes: Uint8Array): void {
  const { signedBytes, signatures } = parseMetadata(role, bytes);
  writer.u32(signedBytes.length).bytes(signedBytes).u8(signatures.length);
  for (const { keyid, sig } of signatures) {
    const signature = Buffer.from(sig, "hex");
    writeKeyId(writer, keyid).u16(signature.length).bytes(signature);
  }
}

/** Mostly a SHA-256 in hex; a root may give its keys other names. */
function writeKeyId(writer: ByteWriter, keyid: string): ByteWriter {
  if (/^[0-9a-f]{64}$/.test(keyid)) return writer.u8(0).bytes(Buffer.from(keyid, "hex"));
  const text = Buffer.from(keyid, "utf8");
  if (text.length > 0xff) throw tooLarge(`a key id of ${text.length} bytes`);
  return writer.u8(text.length).bytes(text);
}

/**
 * The files again, rebuilt from what was signed. Nothing is verified here.
 * @throws UptaneError UPTANE_METADATA_TOO_LARGE, UPTANE_METADATA_MALFORMED
 */
export function decodeEcuBundle(bundle: Uint8Array): DirectorFiles {
  if (bundle.length > MAX_BUNDLE_BYTES) throw tooLarge(`${bundle.length} bytes`);
  try {
    const reader = new ByteReader(bundle);
    if (reader.u8("version") !== VERSION) throw malformed("of another version");
    const count = reader.u8("roots");
    if (count > MAX_ROOTS) throw tooLarge(`${count} roots`);
    const roots = Array.from({ length: count }, () => readFile(reader, "root"));
    const targets = readFile(reader, "targets");
    reader.end("bundle");
    return { roots, targets };
  } catch (error) {
    throw error instanceof ByteError ? malformed(error.message) : error;
  }
}

function readFile(reader: ByteReader, role: TopLevelRole): Buffer {
  const length = reader.u32("length");
  if (length > MAX_METADATA_BYTES[role]) throw tooLarge(`${length} bytes of ${role}`);
  const signed = reader.bytes("signed", length);
  const count = reader.u8("signatures");
  if (count > MAX_SIGNATURES) throw tooLarge(`${count} signatures`);
  const signatures = Array.from({ length: count }, () => readSignature(reader));
  return Buffer.concat([
    Buffer.from(`{"signatures":${JSON.stringify(signatures)},"signed":`),
    jsonOf(signed),
    Buffer.from("}"),
  ]);
}

function readSignature(reader: ByteReader): Signature {
  const length = reader.u8("key id length");
  const raw = Buffer.from(reader.bytes("key id", length === 0 ? RAW_KEY_ID_BYTES : length));
  const size = reader.u16("signature length");
  if (2 * size > MAX_SIGNATURE_DIGITS) throw tooLarge(`a signature of ${size} bytes`);
  const sig = Buffer.from(reader.bytes("signature", size)).toString("hex");
  return { keyid: raw.toString(length === 0 ? "hex" : "utf8"), sig };
}

/**
 * Canonical JSON leaves control characters as they are, which JSON does not take. They occur within
 * strings only, so that escaping each of them gives JSON of the same value.
 */
function jsonOf(canonical: Uint8Array): Buffer {
  const text = Buffer.from(canonical).toString("latin1");
  const escaped = text.replaceAll(
    // oxlint-disable-next-line no-control-regex -- these are the ones
    /[\u0000-\u001f]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return Buffer.from(escaped, "latin1");
}

function tooLarge(what: string): UptaneError {
  return new UptaneError("UPTANE_METADATA_TOO_LARGE", "ECU bundle", `${what} are too much`);
}

function malformed(what: string): UptaneError {
  return new UptaneError("UPTANE_METADATA_MALFORMED", "ECU bundle", what);
}
