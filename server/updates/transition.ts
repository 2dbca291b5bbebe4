import type { Deferral } from "#protocol/mqtt/deferral.ts";
import type { Tx } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import { beginUpdating, endUpdating } from "#server/vehicles/queries.ts";
import type { Grounds, UpdateListener, UpdateMoved } from "./moved.ts";
import { insertUpdate, saveState, type OpenUpdate } from "./queries.ts";
import type { UpdateError } from "./table.ts";
import {
  hasStarted,
  isFinal,
  nextState,
  type Target,
  type UpdateInput,
  type UpdateState,
} from "./update.ts";

/** What an update's steps touch besides its row. */
export interface TransitionDeps {
  metrics: Metrics;
  listeners: readonly UpdateListener[];
  /** Called when a vehicle begins an update. */
  started?: (vin: string) => void;
}

export interface NewUpdate {
  update_id: string;
  vin: string;
  package_id: string;
  targets: Target[];
  campaign_id: string | null;
  deadline_min: number;
  grounds?: Grounds | undefined;
}

/** Makes an update for a vehicle that has none under way. */
export async function begin(deps: TransitionDeps, tx: Tx, update: NewUpdate): Promise<void> {
  const { grounds, ...row } = update;
  await insertUpdate(tx, row);
  await tell(deps, tx, { ...row, grounds, from: null, to: "pending", error: null, ecu_id: null });
}

/** Moves an update on; the error is kept when that ends it badly. @returns whether it moved */
export async function step(
  deps: TransitionDeps,
  tx: Tx,
  vin: string,
  update: OpenUpdate,
  input: UpdateInput,
  error?: UpdateError,
): Promise<boolean> {
  const next = nextState(update, input);
  if (next === undefined) return false;
  const bad = next.status !== "success";
  await apply(deps, tx, vin, update, { ...next, ...(bad ? { error } : { progress: 100 }) });
  return true;
}

/** Where an update goes, and what is noted of that. */
export type Next = UpdateState & {
  progress?: number;
  error?: UpdateError | undefined;
  /** The vehicle has told of it. */
  heard?: boolean;
  ecu_id?: string | undefined;
  /** Why the vehicle waits. */
  reasons?: Deferral[] | undefined;
};

export async function apply(
  deps: TransitionDeps,
  tx: Tx,
  vin: string,
  update: OpenUpdate,
  { ecu_id, ...next }: Next,
): Promise<void> {
  await saveState(tx, update.update_id, next);
  const { status: to, error = null } = next;
  if (to === update.status) return;
  // One that had to wait begins once more.
  if (hasStarted(to) && !hasStarted(update.status)) deps.started?.(vin);
  await (isFinal(to) ? endUpdating(tx, vin) : beginUpdating(tx, vin));
  const { update_id, campaign_id, targets, status: from } = update;
  const known = { update_id, vin, campaign_id, targets };
  const moved = { ...known, from, to, error, ecu_id: ecu_id ?? null };
  await tell(deps, tx, moved, to === "deferred" ? next.reasons : undefined);
}

async function tell(
  { metrics, listeners }: TransitionDeps,
  tx: Tx,
  moved: UpdateMoved,
  reasons?: Deferral[],
) {
  metrics.updates.inc({ status: moved.to });
  for (const listener of listeners) await listener.moved(tx, moved);
  const kind = isFinal(moved.to) ? "update.finished" : kinds[moved.to];
  if (kind === undefined) return;
  const { vin, update_id: subject, campaign_id, to: status, error, targets } = moved;
  const ecus = targets.map(({ ecu_id, from_version, to_version }) => ({
    ecu_id,
    from_version,
    to_version,
  }));
  await emit(tx, {
    kind,
    vin,
    subject,
    data: { status, campaign_id, error, ecus, ...(reasons && { reasons }) },
  });
}

/** Steps on the way that others hear of. */
const kinds: Partial<Record<UpdateMoved["to"], string>> = {
  downloading: "update.started",
  deferred: "update.deferred",
};
