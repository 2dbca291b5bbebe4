import type { ScanDtc, ScanEcu } from "#protocol/api/diagnostic-scan.ts";
import type { ScannedEcu } from "#protocol/mqtt/diagnostic-event.ts";
import type { Catalogue } from "#protocol/uds/catalogue.ts";
import { decodeExchange } from "#protocol/uds/decode.ts";
import type { DecodedDtc } from "#protocol/uds/decoded-dtc.ts";
import { Sid } from "#protocol/uds/service.ts";

/** How a scan asks for trouble codes: all of them (reportDTCByStatusMask FF). */
export const READ_DTCS = Uint8Array.of(Sid.readDtcInformation, 0x02, 0xff);

/** What an ECU said, decoded by the catalogue of its type. */
export function asScanEcu(scanned: ScannedEcu, catalogue: Catalogue): ScanEcu {
  const { ecu_id, dids, dtcs = "", error = null } = scanned;
  const isRead = dtcs !== "";
  const decoded = isRead
    ? decodeExchange(READ_DTCS, Buffer.from(dtcs, "hex"), catalogue).dtcs
    : undefined;
  return {
    ecu_id,
    dids: Object.entries(dids)
      .toSorted(([one], [other]) => one.localeCompare(other))
      .map(([did, raw]) => decodedDid(did, raw, catalogue)),
    dtcs_raw: isRead ? dtcs : null,
    dtcs: decoded?.map(asDtc) ?? null,
    error,
  };
}

function asDtc({ code, raw, description, status = "0x00", status_bits = [] }: DecodedDtc): ScanDtc {
  return { code, raw, ...(description !== undefined && { description }), status, status_bits };
}

function decodedDid(did: string, raw: string, catalogue: Catalogue): ScanEcu["dids"][number] {
  const request = Buffer.from(`22${did}`, "hex");
  const response = Buffer.from(`62${did}${raw}`, "hex");
  const [first] = decodeExchange(request, response, catalogue).values ?? [];
  return {
    did: `0x${did}`,
    name: first?.name ?? "unknown",
    value: first?.value ?? raw,
    ...(first?.unit !== undefined && { unit: first.unit }),
    raw,
  };
}
