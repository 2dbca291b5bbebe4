import type {
  DefinitionFile,
  DidDefinition,
  DtcDefinition,
  RidDefinition,
} from "#protocol/uds/definition.ts";
import { dtcText } from "#protocol/uds/dtc.ts";
import { codecOf, fieldsOf, type Lookup } from "./odx-codec.ts";
import { at, below, numberAt, OdxError, textAt, type OdxElement } from "./odx-document.ts";

export interface OdxImport {
  definitions: DefinitionFile;
  /** Names of the layers that were read. */
  layers: string[];
  /** What stays hex, or was there twice. */
  notes: string[];
}

const layerNames = [
  "PROTOCOL",
  "FUNCTIONAL-GROUP",
  "BASE-VARIANT",
  "ECU-VARIANT",
  "ECU-SHARED-DATA",
];

/**
 * DIDs (services with a request of 22), routines (31 01) and trouble codes of ODX documents. What is
 * missing or unusual is left out or stays hex, and is noted: hardly two tools write the same ODX.
 * @throws OdxError when there is no diagnostic layer, or not that one
 */
export function importOdx(
  documents: readonly OdxElement[],
  options: { ecuType?: string | undefined; layer?: string | undefined } = {},
): OdxImport {
  const found = createImport();
  const everywhere = new Map<string, OdxElement>();
  const read = documents.map((root) => ({ root, own: indexOf(root, everywhere) }));
  for (const { root, own } of read) {
    const find: Lookup = (reference) => {
      const id = reference?.attributes["ID-REF"] ?? reference?.attributes["SHORT-NAME"];
      return id === undefined ? undefined : (own.get(id) ?? everywhere.get(id));
    };
    for (const layer of layerNames.flatMap((name) => below(root, name))) {
      const name = textAt(layer, "SHORT-NAME") ?? "without a name";
      if (options.layer !== undefined && options.layer !== name) continue;
      found.layers.push(name);
      for (const service of below(layer, "DIAG-SERVICE")) found.addService(service, find);
      for (const dtc of below(layer, "DTC")) found.addDtc(dtc);
    }
  }
  if (found.layers.length === 0) {
    const which = options.layer === undefined ? "no diagnostic layer" : `no layer ${options.layer}`;
    throw new OdxError(`there is ${which} in it`);
  }
  return found.result(options.ecuType);
}

/** Elements by ID, and by the short name that an SNREF has; first in their own document. */
function indexOf(root: OdxElement, everywhere: Map<string, OdxElement>): Map<string, OdxElement> {
  const own = new Map<string, OdxElement>();
  const note = (key: string | undefined, element: OdxElement) => {
    if (key === undefined) return;
    if (!own.has(key)) own.set(key, element);
    if (!everywhere.has(key)) everywhere.set(key, element);
  };
  const visit = (element: OdxElement) => {
    note(element.attributes["ID"], element);
    if (["DATA-OBJECT-PROP", "STRUCTURE"].includes(element.name)) {
      note(textAt(element, "SHORT-NAME"), element);
    }
    element.children.forEach(visit);
  };
  visit(root);
  return own;
}

function createImport() {
  const dids = new Map<number, DidDefinition>();
  const dtcs = new Map<string, DtcDefinition>();
  const rids = new Map<number, RidDefinition>();
  const layers: string[] = [];
  const notes: string[] = [];

  /** The first one stays: variants mostly repeat what their base says. */
  function keep<Key, Definition>(
    into: Map<Key, Definition>,
    key: Key,
    definition: Definition,
    what: string,
  ) {
    const before = into.get(key);
    if (before === undefined) into.set(key, definition);
    else if (JSON.stringify(before) !== JSON.stringify(definition)) {
      notes.push(`${what} is there again and different; the first is kept`);
    }
  }

  function addService(service: OdxElement, find: Lookup): void {
    const request = find(at(service, "REQUEST-REF"));
    const response = find(at(service, "POS-RESPONSE-REFS")?.children[0]);
    const [sid, first = 0, second = 0, third = 0, ...more] = constants(request);
    const name = (textAt(service, "SHORT-NAME") ?? "unnamed").slice(0, 128);
    const length = constants(request).length;
    if (sid === 0x22 && length === 3) {
      const did = first * 256 + second;
      const codec = codecOf(fieldsOf(response, 3, find));
      if (codec === undefined) notes.push(`DID ${hexId(did)} ${name} has no codec, it stays hex`);
      keep(dids, did, { did, name, ...(codec && { codec }) }, `DID ${hexId(did)}`);
    }
    if (sid === 0x31 && first === 0x01 && length >= 4 && more.length === 0) {
      const rid = second * 256 + third;
      const option = fieldsOf(request, 4, find);
      const result = fieldsOf(response, 4, find);
      const routine = { rid, name, ...(option && { option }), ...(result && { result }) };
      keep(rids, rid, routine, `routine ${hexId(rid)}`);
    }
  }

  function addDtc(dtc: OdxElement): void {
    const number = numberAt(dtc, "TROUBLE-CODE");
    const text = textAt(dtc, "TEXT") ?? textAt(dtc, "LONG-NAME") ?? textAt(dtc, "SHORT-NAME");
    if (number === undefined || text === undefined) return;
    if (!Number.isInteger(number) || number < 0 || number > 0xff_ffff) return;
    // Two bytes are a code of SAE J2012 without its failure type.
    const code = number > 0xffff ? dtcText(number) : dtcText(number << 8).slice(0, 5);
    keep(dtcs, code, { code, text: text.slice(0, 512) }, `DTC ${code}`);
  }

  return {
    layers,
    addService,
    addDtc,
    result(ecu_type: string | undefined): OdxImport {
      return {
        definitions: {
          ...(ecu_type !== undefined && { ecu_type }),
          dids: [...dids.values()].sort((a, b) => a.did - b.did),
          dtcs: [...dtcs.values()].sort((a, b) => (a.code < b.code ? -1 : 1)),
          rids: [...rids.values()].sort((a, b) => a.rid - b.rid),
        },
        layers,
        notes,
      };
    },
  };
}

/** The constant bytes that a request begins with. */
function constants(request: OdxElement | undefined): number[] {
  const bytes: number[] = [];
  for (const param of at(request, "PARAMS")?.children ?? []) {
    const value = numberAt(param, "CODED-VALUE");
    const length = (numberAt(param, "DIAG-CODED-TYPE", "BIT-LENGTH") ?? 0) / 8;
    const position = numberAt(param, "BYTE-POSITION") ?? bytes.length;
    const isNext = position === bytes.length && Number.isInteger(length) && length <= 4;
    if (param.attributes["type"] !== "CODED-CONST" || value === undefined || !isNext) break;
    for (let index = length - 1; index >= 0; index--) {
      bytes.push(Math.floor(value / 256 ** index) % 256);
    }
  }
  return bytes;
}

function hexId(id: number): string {
  return `0x${id.toString(16).toUpperCase().padStart(4, "0")}`;
}
