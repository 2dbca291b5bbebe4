import {
  checkAssignment,
  checkImage,
  checkStep,
  readAssignments,
  type Assignment,
  type Vehicle,
} from "./assignment.ts";
import { findTarget } from "./find-target.ts";
import { refresh, type FileRequest, type Workflow } from "./refresh.ts";
import type { Checks, TrustedRepository } from "./trusted.ts";
import { withAssigned, type RepositoryName, type VehicleState } from "./vehicle-state.ts";

/** An assignment that the image repository confirms. */
export interface VerifiedAssignment extends Assignment {
  /** The role of the image repository that has signed the image. */
  signedBy: string;
}

export interface FullVerification {
  /** To be stored before anything is installed. */
  state: VehicleState;
  assignments: readonly VerifiedAssignment[];
}

/** A file of one of the two repositories, or a state to be stored at once: a new root is final. */
export type VehicleStep =
  | (FileRequest & { repository: RepositoryName })
  | { kind: "root"; repository: RepositoryName; state: VehicleState };

export type VehicleWorkflow<T> = Generator<VehicleStep, T, Uint8Array | undefined>;

/**
 * Full verification (Uptane 2.1, section of that name), as a VMG does it: both repositories, then
 * each image that the director assigns. Apart from roots nothing is trusted before all of it is:
 * metadata of another vehicle, signed by the same director, must not raise a version number here.
 * @throws UptaneError for whatever a repository or an assignment is refused for
 */
export function* verifyFully(
  state: VehicleState,
  vehicle: Vehicle,
  checks: Checks,
): VehicleWorkflow<FullVerification> {
  const roots = { ...state };
  const director = yield* within("director", roots, refresh(state.director, checks));
  const assignments = assignedTo(director, vehicle);
  for (const assignment of assignments) {
    checkAssignment(assignment, vehicle.ecus, state.releaseCounters);
  }
  let image = yield* within("image", roots, refresh(state.image, checks));
  const verified: VerifiedAssignment[] = [];
  for (const assignment of assignments) {
    const search = findTarget(image, assignment.path, checks);
    const found = yield* within("image", roots, search);
    image = found.trusted;
    checkImage(assignment, found.file);
    checkStep(assignment, found.file, vehicle.ecus);
    verified.push({ ...assignment, signedBy: found.role });
  }
  const releaseCounters = withAssigned(state.releaseCounters, assignments);
  return { state: { director, image, releaseCounters }, assignments: verified };
}

function assignedTo({ targets }: TrustedRepository, vehicle: Vehicle): Assignment[] {
  return targets === undefined ? [] : readAssignments(targets, vehicle);
}

/** Runs the workflow of one repository; of what it accepts, only roots are passed on. */
function* within<T>(
  repository: RepositoryName,
  roots: { -readonly [K in keyof VehicleState]: VehicleState[K] },
  workflow: Workflow<T>,
): VehicleWorkflow<T> {
  let step = workflow.next();
  while (step.done !== true) {
    if (step.value.kind === "fetch") {
      step = workflow.next(yield { ...step.value, repository });
    } else {
      if (step.value.role === "root") {
        roots[repository] = step.value.trusted;
        yield { kind: "root", repository, state: { ...roots } };
      }
      step = workflow.next();
    }
  }
  return step.value;
}
