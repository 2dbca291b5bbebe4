import { parseDtc } from "#protocol/uds/dtc.ts";
import type { EcuRuntime } from "./runtime.ts";

export interface StoredDtc {
  dtc: number;
  status: number;
}

/**
 * The trouble codes the ECU knows, with their status now.
 * @throws RangeError for a configured code that is none
 */
export function storedDtcs(ecu: Pick<EcuRuntime, "config" | "store">): StoredDtc[] {
  const changed = ecu.store.current.dtc_status;
  return ecu.config.dtcs.map(({ code, status }) => {
    const dtc = parseDtc(code);
    if (dtc === undefined) throw new RangeError(`${ecu.config.ecu_id}: ${code} is no DTC`);
    return { dtc, status: changed[code] ?? status };
  });
}
