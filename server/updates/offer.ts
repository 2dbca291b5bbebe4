import type { RawBuilder } from "kysely";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";

/** What a campaign has for a vehicle. */
export interface Offer {
  campaign_id: string;
  /** Counted from 0. */
  wave: number;
  /** Ids of the firmware that it brings. */
  releases: readonly string[];
  /** From the start of the installation to its proof, in minutes. */
  deadline_min: number;
}

/** Where offers come from; asked at every check-in. */
export interface OfferSource {
  /**
   * A scalar subquery over `vehicle.vin` that brings what `offers` has to know of the vehicle, so
   * that a check-in is one query.
   */
  state: RawBuilder<unknown>;
  /** What the vehicle may have now, in the order in which it goes; from memory. */
  offers(vehicle: TargetVehicle, state: unknown, now: Date): Offer[];
}
