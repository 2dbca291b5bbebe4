/** Every ECU of a type runs at least this version, after the same bundle at the latest. */
export interface Requirement {
  ecu_type: string;
  min_version: string;
}

/** An active firmware of the catalogue, as planning sees it. */
export interface Release {
  firmware_id: string;
  ecu_type: string;
  version: string;
  hardware_versions: readonly string[];
  channel: "stable" | "beta";
  min_current_version: string | null;
  /** What the rest of the vehicle has to run. */
  requires: readonly Requirement[];
  /** Offered to every vehicle on its channel, or by a campaign only. */
  availability: "channel" | "campaign";
  critical: boolean;
  /** Bytes to download. */
  size: number;
}
