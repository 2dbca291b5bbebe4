const PART = 100_000;
const MAX_MAJOR = 9999;

/**
 * The release counter of an image: a number that rises with the version, so that an ECU can refuse
 * an older image without reading versions (Uptane 2.1, "release counter"). Pre-releases and builds
 * count like their release.
 * @param version semantic version, `1.2.3`: a major of at most 4 digits, others of at most 5
 * @throws RangeError for a version that can't be counted
 */
export function releaseCounter(version: string): number {
  const [, major, minor, patch] =
    /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:[-+].*)?$/.exec(version)?.map(Number) ?? [];
  if (major === undefined || minor === undefined || patch === undefined) {
    throw new RangeError(`"${version}" is not a semantic version`);
  }
  if (major > MAX_MAJOR || minor >= PART || patch >= PART) {
    throw new RangeError(
      `version ${version} can't be counted: at most 9999.99999.99999 makes a release counter`,
    );
  }
  return (major * PART + minor) * PART + patch;
}

/** As {@link releaseCounter}; undefined for a version that can't be counted, as a factory's may be. */
export function knownReleaseCounter(version: string): number | undefined {
  try {
    return releaseCounter(version);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
