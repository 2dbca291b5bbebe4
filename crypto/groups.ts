/**
 * TLS named groups by IANA code point, named as OpenSSL names them. The hybrid groups are
 * RFC 10024, the ML-KEM groups draft-ietf-tls-mlkem; the classical ones are here for logging.
 */
const GROUPS = [
  [0x0017, "P-256"],
  [0x0018, "P-384"],
  [0x0019, "P-521"],
  [0x001d, "X25519"],
  [0x001e, "X448"],
  [0x0100, "ffdhe2048"],
  [0x0101, "ffdhe3072"],
  [0x0200, "MLKEM512"],
  [0x0201, "MLKEM768"],
  [0x0202, "MLKEM1024"],
  [0x11eb, "SecP256r1MLKEM768"],
  [0x11ec, "X25519MLKEM768"],
  [0x11ed, "SecP384r1MLKEM1024"],
] as const;

export type GroupName = (typeof GROUPS)[number][1];

const nameByCode = new Map<number, GroupName>(GROUPS);

const codeByName = new Map<string, number>([
  ...GROUPS.map(([code, name]): [string, number] => [name, code]),
  // What OpenSSL answers for the NIST curves, where the TLS registry has another name.
  ["prime256v1", 0x0017],
  ["secp384r1", 0x0018],
  ["secp521r1", 0x0019],
]);

/** The name of a group; `0x1234` for one that is not in the table. */
export function groupName(code: number): string {
  return nameByCode.get(code) ?? `0x${code.toString(16).padStart(4, "0")}`;
}

/** The code point of a group, by any name OpenSSL gives it; undefined for an unknown one. */
export function groupCode(name: string): number | undefined {
  return codeByName.get(name);
}
