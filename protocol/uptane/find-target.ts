import { member, type Metadata, type TargetFile } from "./metadata.ts";
import { covers } from "./path-pattern.ts";
import { accepted, isListed, listedFile, present, type Workflow } from "./refresh.ts";
import { checkFresh, type Checks, type TrustedRepository } from "./trusted.ts";
import { listedTargets, updateDelegated, verifyDelegated, type Delegation } from "./update.ts";
import { UptaneError } from "./uptane-error.ts";

/** TUF 1.0 §5.6.7.1 leaves the number to us. */
const MAX_ROLES = 32;

/** What the repository says of a target, and the role that says so. */
export interface FoundTarget {
  path: string;
  role: string;
  file: TargetFile;
  trusted: TrustedRepository;
}

/**
 * Searches a target from the top-level targets through the delegations, pre-order and depth-first
 * (TUF 1.0 §5.6.7, Uptane 2.1 "How to resolve delegations"). After a terminating delegation and what
 * it delegates to, the search is over. A role that can't be had or verified ends it as well.
 * @throws UptaneError UPTANE_TARGET_UNKNOWN, UPTANE_DELEGATIONS_TOO_MANY, or why a role was refused
 */
export function* findTarget(
  trusted: TrustedRepository,
  path: string,
  checks: Checks,
): Workflow<FoundTarget> {
  if (trusted.targets === undefined) throw new TypeError("no targets are trusted yet");
  let now = trusted;
  let targets = trusted.targets;
  let role = "targets";
  const visited = new Set([role]);
  const toVisit: Delegation[] = [];
  for (;;) {
    const file = member(targets.signed.targets, path);
    if (file !== undefined) return { path, role, file, trusted: now };
    const { delegations, isFinal } = delegationsFor(targets, path);
    if (isFinal) toVisit.length = 0;
    toVisit.push(...delegations.reverse());
    const next = nextUnvisited(toVisit, visited, path);
    role = next.role.name;
    ({ trusted: now, targets } = yield* loadDelegated(now, next, checks));
  }
}

function nextUnvisited(toVisit: Delegation[], visited: Set<string>, path: string): Delegation {
  for (let next = toVisit.pop(); next !== undefined; next = toVisit.pop()) {
    if (visited.has(next.role.name)) continue;
    if (visited.size === MAX_ROLES) {
      const what = `not in the first ${MAX_ROLES} roles`;
      throw new UptaneError("UPTANE_DELEGATIONS_TOO_MANY", "targets", `${path} is ${what}`);
    }
    visited.add(next.role.name);
    return next;
  }
  throw new UptaneError("UPTANE_TARGET_UNKNOWN", "targets", `${path} is in no role`);
}

function* loadDelegated(
  trusted: TrustedRepository,
  delegation: Delegation,
  checks: Checks,
): Workflow<{ trusted: TrustedRepository; targets: Metadata<"targets"> }> {
  const { name } = delegation.role;
  const listed = listedTargets(trusted, name);
  const known = trusted.delegated.get(name);
  if (known && isListed(known, listed) && isSigned(trusted, delegation, known, checks)) {
    checkFresh(known, name, checks.now);
    return { trusted, targets: known };
  }
  const bytes = yield listedFile(trusted, { role: "targets", name, listed });
  const next = updateDelegated(trusted, delegation, present(name, bytes), checks);
  yield accepted(name, next.trusted);
  return next;
}

/** The delegator may have changed its mind about the keys. */
function isSigned(
  trusted: TrustedRepository,
  delegation: Delegation,
  known: Metadata<"targets">,
  checks: Checks,
): boolean {
  try {
    verifyDelegated(trusted, delegation, known, checks);
    return true;
  } catch (error) {
    if (error instanceof UptaneError) return false;
    throw error;
  }
}

function delegationsFor(
  delegator: Metadata<"targets">,
  path: string,
): { delegations: Delegation[]; isFinal: boolean } {
  const delegations: Delegation[] = [];
  for (const role of delegator.signed.delegations?.roles ?? []) {
    if (!covers(role, path)) continue;
    delegations.push({ delegator, role });
    if (role.terminating) return { delegations, isFinal: true };
  }
  return { delegations, isFinal: false };
}
