import type { Access, Content, EcuDid } from "#config/ecu-definition.ts";
import { compileCodec, type DidCodec } from "#protocol/uds/did-codec.ts";

/** A DID of the definition: a record of one part, or of the fields of a structure. */
export interface DefinedDid {
  did: number;
  parts: readonly { codec: DidCodec; content: Content; takesWordsOnly: boolean }[];
  /** Bytes of the record; absent when its last part has any length. */
  length?: number;
  read: Access | undefined;
  /** Absent: nobody writes it. */
  write: Access | undefined;
}

/** @throws RangeError for a codec that contradicts itself */
export function compileDid(definition: EcuDid): DefinedDid {
  const { did, codec = { kind: "hex" }, fields = {}, read, write } = definition;
  const record = compileCodec(codec);
  const parts =
    codec.kind === "struct"
      ? codec.fields.map((field, at) => ({
          codec: record.fields?.[at]?.codec ?? record,
          content: fields[field.name] ?? {},
          takesWordsOnly: field.codec.kind === "enum",
        }))
      : [{ codec: record, content: definition, takesWordsOnly: codec.kind === "enum" }];
  const { length } = record;
  return { did, parts, ...(length !== undefined && { length }), read, write };
}

/** The record as it is now, part by part; `swing` is between -1 and 1 and has that period. */
export function livingParts(
  { parts }: DefinedDid,
  swing: (periodS: number) => number,
): Uint8Array[] {
  return parts.map(({ codec, content: { value = 0, signal } }) => {
    if (signal === undefined) return codec.encode(value);
    const { from, to, period_s } = signal;
    return codec.encode(from + ((to - from) * (1 + swing(period_s))) / 2);
  });
}

/** The record as the factory made it, part by part. */
export function defaultParts({ parts }: DefinedDid): Uint8Array[] {
  return parts.map(({ codec, content: { value = 0, signal } }) =>
    codec.encode(signal?.from ?? value),
  );
}

/** A record cut into its parts; the last one takes what is left. */
export function cutRecord({ parts }: DefinedDid, record: Uint8Array): Uint8Array[] {
  let at = 0;
  return parts.map(({ codec }) => {
    const start = at;
    at += codec.length ?? record.length - at;
    return record.subarray(start, at);
  });
}

/** Whether each part is a value of its codec and within its limits. */
export function isRecord(did: DefinedDid, record: Uint8Array): boolean {
  const cut = cutRecord(did, record);
  return did.parts.every(({ codec, content, takesWordsOnly }, at) => {
    const value = codec.decode(cut[at] ?? new Uint8Array(0));
    if (typeof value !== "number") return value !== undefined;
    const { minimum = -Infinity, maximum = Infinity } = content;
    return !takesWordsOnly && value >= minimum && value <= maximum;
  });
}
