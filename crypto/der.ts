/** Where the content of one DER element lies in its input. */
export interface DerElement {
  tag: number;
  start: number;
  end: number;
}

export const DerTag = {
  integer: 0x02,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const MAX_LENGTH_BYTES = 4;

/**
 * The tag and bounds of the element at an offset (X.690 §8.1, definite lengths and one-byte tags),
 * without copying; undefined when it would reach past `limit`.
 */
export function derElement(bytes: Uint8Array, at: number, limit: number): DerElement | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) return undefined;
  let length = first;
  let start = at + 2;
  if (first & 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > MAX_LENGTH_BYTES) return undefined;
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + (bytes[start + i] ?? Infinity);
    start += count;
  }
  const end = start + length;
  return end <= limit ? { tag, start, end } : undefined;
}

/** The elements inside another one; undefined when they don't fill it exactly. */
export function derChildren(bytes: Uint8Array, parent: DerElement): DerElement[] | undefined {
  const children: DerElement[] = [];
  let at = parent.start;
  while (at < parent.end) {
    const child = derElement(bytes, at, parent.end);
    if (child === undefined) return undefined;
    children.push(child);
    at = child.end;
  }
  return children;
}

/** The children of the one sequence that the input is. */
export function derSequence(bytes: Uint8Array): DerElement[] | undefined {
  const outer = derElement(bytes, 0, bytes.length);
  if (outer?.tag !== DerTag.sequence || outer.end !== bytes.length) return undefined;
  return derChildren(bytes, outer);
}

/** The object identifier of an element as hex of its DER content; undefined for another tag. */
export function derOid(bytes: Uint8Array, element: DerElement | undefined): string | undefined {
  if (element?.tag !== DerTag.oid) return undefined;
  return Buffer.from(bytes.subarray(element.start, element.end)).toString("hex");
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** A certificate's time (RFC 5280 §4.1.2.5) in milliseconds since 1970; undefined for anything else. */
export function derTimeOf(bytes: Uint8Array, element: DerElement | undefined): number | undefined {
  if (element?.tag !== DerTag.utcTime && element?.tag !== DerTag.generalizedTime) return undefined;
  const isShort = element.tag === DerTag.utcTime;
  const text = Buffer.from(bytes.subarray(element.start, element.end)).toString("latin1");
  const digits = (isShort ? UTC_TIME : GENERALIZED_TIME).exec(text)?.slice(1).map(Number);
  if (digits === undefined) return undefined;
  const [year = 0, month = 0, day, hour, minute, second] = digits;
  const century = isShort ? (year < 50 ? 2000 : 1900) : 0;
  return Date.UTC(century + year, month - 1, day, hour, minute, second);
}
