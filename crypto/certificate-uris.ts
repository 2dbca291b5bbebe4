import "reflect-metadata";
import { SubjectAlternativeNameExtension, X509Certificate } from "@peculiar/x509";

/** The URIs among a certificate's alternative names (RFC 5280 §4.2.1.6). @param certificate DER */
export function certificateUris(certificate: Uint8Array): string[] {
  const parsed = new X509Certificate(Uint8Array.from(certificate));
  const names = parsed.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  return names.filter(({ type }) => type === "url").map(({ value }) => value);
}
