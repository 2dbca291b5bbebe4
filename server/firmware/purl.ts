/** What of a package URL says which package it is. */
export interface PackageUrl {
  /** `pkg:type/namespace/name`. */
  package: string;
  version: string | undefined;
}

/**
 * Reads a package URL (ECMA-427), `pkg:type/namespace/name@version?qualifiers#subpath`; qualifiers
 * and subpath are left out, the version is decoded.
 * @returns undefined for what is none
 */
export function parsePurl(text: string): PackageUrl | undefined {
  const [, type, path, version] =
    /^pkg:\/{0,2}([a-z][a-z0-9.+-]*)\/([^?#]+?)(?:@([^@/?#]*))?(?:\?[^#]*)?(?:#.*)?$/i.exec(text) ??
    [];
  if (type === undefined || path === undefined) return undefined;
  const segments = path.split("/").filter((each) => each !== "");
  if (segments.length === 0) return undefined;
  // U+0000 is no database text.
  if (/%00|\0/.test(text)) return undefined;
  try {
    // Written in one way: some encode what need not be.
    const name = segments.map((each) => encodeURIComponent(decodeURIComponent(each))).join("/");
    return {
      package: `pkg:${type.toLowerCase()}/${name}`,
      version: version ? decodeURIComponent(version) : undefined,
    };
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
