import { unzipSync } from "fflate";
import { SaxesParser } from "saxes";

/** Larger files, alone or out of a PDX, are refused; a whole vehicle's are smaller. */
const MAX_DOCUMENT_BYTES = 32 * 1024 * 1024;
const MAX_CONTAINER_BYTES = 128 * 1024 * 1024;
const MAX_ENTRIES = 2_000;
const MAX_ELEMENTS = 1_000_000;
const MAX_DEPTH = 64;

/** An element by its local name; ODX has no mixed content. */
export interface OdxElement {
  name: string;
  attributes: Readonly<Record<string, string>>;
  children: OdxElement[];
  text: string;
}

/** What is no ODX that can be read. */
export class OdxError extends Error {
  readonly code = "ODX_INVALID";

  constructor(message: string) {
    super(message);
    this.name = "OdxError";
  }
}

/**
 * The ODX documents of a file: itself, or those in a PDX.
 * @throws OdxError
 */
export function readOdx(bytes: Uint8Array): OdxElement[] {
  const isZip = bytes[0] === 0x50 && bytes[1] === 0x4b;
  const documents = isZip ? unpack(bytes) : new Map([["the file", bytes]]);
  if (documents.size === 0) throw new OdxError("the PDX holds no .odx file");
  let left = MAX_ELEMENTS;
  return [...documents].map(([name, document]) => {
    if (document.length > MAX_DOCUMENT_BYTES) throw new OdxError(`${name} is over 32 MiB`);
    return parseXml(name, document, () => {
      left -= 1;
      if (left < 0) throw new OdxError(`more than ${MAX_ELEMENTS} elements`);
    });
  });
}

/** Nothing is unpacked beyond the sizes that the directory states, and those are bounded. */
function unpack(bytes: Uint8Array): Map<string, Uint8Array> {
  let entries = 0;
  let total = 0;
  try {
    const files = unzipSync(bytes, {
      filter({ name, originalSize }) {
        entries += 1;
        if (entries > MAX_ENTRIES) throw new OdxError(`more than ${MAX_ENTRIES} files`);
        if (!/\.odx(-[a-z]+)?$/i.test(name)) return false;
        total += originalSize;
        if (originalSize > MAX_DOCUMENT_BYTES || total > MAX_CONTAINER_BYTES) {
          throw new OdxError(`${name} is too large when it is unpacked`);
        }
        return true;
      },
    });
    return new Map(Object.entries(files));
  } catch (error) {
    if (error instanceof OdxError) throw error;
    throw new OdxError(`not a ZIP archive: ${(error as Error).message}`);
  }
}

/** Entities that a DTD declares are never expanded: there may be no DTD. */
function parseXml(name: string, bytes: Uint8Array, count: () => void): OdxElement {
  const root: OdxElement = { name: "", attributes: {}, children: [], text: "" };
  const open = [root];
  const parser = new SaxesParser();
  parser.on("doctype", () => {
    throw new OdxError(`${name} has a document type declaration`);
  });
  parser.on("opentag", (tag) => {
    count();
    if (open.length > MAX_DEPTH) throw new OdxError(`${name} is nested too deep`);
    const attributes = Object.fromEntries(
      Object.entries(tag.attributes).map(([key, value]) => [localName(key), value]),
    );
    const element = { name: localName(tag.name), attributes, children: [], text: "" };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  const addText = (text: string) => {
    const element = open.at(-1);
    if (element) element.text += text;
  };
  parser.on("text", addText);
  parser.on("cdata", addText);
  parser.on("closetag", () => open.pop());
  parser.on("error", (error) => {
    throw new OdxError(`${name} is not XML: ${error.message}`);
  });
  parser.write(new TextDecoder(encodingOf(bytes)).decode(bytes)).close();
  return root;
}

/** Tools of the trade write UTF-8, or ISO 8859-1 and say so. */
function encodingOf(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.subarray(0, 200)).toString("latin1");
  const [, encoding = "utf-8"] = /encoding=["']([\w-]+)["']/.exec(head) ?? [];
  return /^(utf-8|iso-8859-1|windows-1252|us-ascii)$/i.test(encoding) ? encoding : "utf-8";
}

const localName = (name: string) => name.slice(name.indexOf(":") + 1);

/** The first child of a name, along a path. */
export function at(element: OdxElement | undefined, ...path: string[]): OdxElement | undefined {
  return path.reduce<OdxElement | undefined>(
    (found, name) => found?.children.find((child) => child.name === name),
    element,
  );
}

/** The text at a path; undefined when there is none. */
export function textAt(element: OdxElement | undefined, ...path: string[]): string | undefined {
  return at(element, ...path)?.text.trim() || undefined;
}

/** A number at a path, decimal or `0x…`. */
export function numberAt(element: OdxElement | undefined, ...path: string[]): number | undefined {
  const number = Number(textAt(element, ...path) ?? Number.NaN);
  return Number.isFinite(number) ? number : undefined;
}

/** All elements of a name below one, however deep. */
export function below(element: OdxElement, name: string): OdxElement[] {
  return element.children.flatMap((child) =>
    child.name === name ? [child, ...below(child, name)] : below(child, name),
  );
}
