import type { VerifiedImage } from "./package-file.ts";

/**
 * The order of an installation: waves one after the other by install_order; in a wave the zonal
 * gateways side by side, the ECUs of one of them one after the other.
 */
export function installPlan(images: readonly VerifiedImage[]): VerifiedImage[][][] {
  return inWaves(images, ({ ecu }) => ecu.install_order);
}

/** As {@link installPlan}, for whatever is done to ECUs. */
export function inWaves<Item extends { zone_id: string }>(
  items: readonly Item[],
  orderOf: (item: Item) => number,
): Item[][][] {
  return [...Map.groupBy(items, orderOf)]
    .sort(([a], [b]) => a - b)
    .map(([, wave]) => [...Map.groupBy(wave, ({ zone_id }) => zone_id).values()]);
}

/**
 * Runs work side by side and waits for all of it, also when some has failed: nothing goes on behind
 * the back of what follows.
 * @throws the first error
 */
export async function allSettled(work: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(work);
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed) throw failed.reason;
}
