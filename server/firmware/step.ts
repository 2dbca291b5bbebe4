import { SemVer } from "semver";
import type { Release } from "./release.ts";

/** A release whose versions are parsed. */
export interface Step {
  release: Release;
  version: SemVer;
  /** The lowest version that it installs over. */
  from: SemVer | undefined;
  requires: readonly { ecu_type: string; version: SemVer }[];
}

/** Releases are never changed once they are read, so each is parsed once. */
const parsed = new WeakMap<Release, Step>();

export function stepOf(release: Release): Step {
  const known = parsed.get(release);
  if (known) return known;
  const { version, min_current_version: min, requires } = release;
  const step = {
    release,
    version: new SemVer(version),
    from: min === null ? undefined : new SemVer(min),
    requires: requires.map(({ ecu_type, min_version }) => ({
      ecu_type,
      version: new SemVer(min_version),
    })),
  };
  parsed.set(release, step);
  return step;
}

/** Builds of one version (SemVer §10) have an order too, so that the catalogue's does not matter. */
export function newestFirst(a: Step, b: Step): number {
  return b.version.compare(a.version) || b.version.compareBuild(a.version);
}

export function isBelow(a: SemVer, b: SemVer): boolean {
  return a.compare(b) < 0;
}
