import { doipCapture } from "#protocol/capture/doip-capture.ts";
import { PayloadType } from "#protocol/doip/codes.ts";
import type { AuditEntry } from "#protocol/api/audit.ts";
import { exchangesAfter, type ExchangeFilter } from "#server/audit/queries.ts";
import type { Db } from "#server/database/connection.ts";
import { currentEcus } from "#server/vehicles/queries.ts";

/** The tester in the capture; the real one is an operator at the gateway. */
const TESTER = 0x0e00;
/** A zone's functional address, which a VCI does not tell. */
const GROUP = 0xe400;
/** The first address for ECUs whose own is not known. */
const UNKNOWN_ECU = 0x7f00;
const PAGE = 500;

/**
 * What was said to a vehicle and what it answered, from the audit log, as the pieces of a pcapng
 * file: DoIP and UDS, with who asked as a comment.
 */
export async function* diagnosticCapture(
  db: Db,
  filter: ExchangeFilter,
): AsyncGenerator<Buffer, void> {
  const addressOf = await addresses(db, filter.vin);
  const capture = doipCapture();
  let last: AuditEntry | undefined;
  for (;;) {
    const page = await exchangesAfter(db, filter, last?.seq ?? 0, PAGE);
    for (const entry of page) {
      if (last === undefined) yield capture.begin(new Date(entry.at));
      last = entry;
      for (const { from, source, target, bytes } of messages(entry, addressOf)) {
        yield capture.message(
          from,
          { type: PayloadType.diagnosticMessage, source, target, userData: bytes },
          new Date(entry.at),
          `${entry.actor} ${entry.action} ${entry.subject ?? ""}`.trim(),
        );
      }
    }
    if (page.length < PAGE) break;
  }
  if (last === undefined) yield capture.begin(new Date());
  yield capture.end(new Date(last?.at ?? Date.now()));
}

interface Message {
  from: "tester" | "vehicle";
  source: number;
  target: number;
  bytes: Buffer;
}

/** An answer's entry repeats its request, which has an entry of its own. */
function messages(entry: AuditEntry, addressOf: (ecuId: string) => number): Message[] {
  const ecu = entry.ecu_id === null ? GROUP : addressOf(entry.ecu_id);
  const said: Message[] = [];
  if (entry.request !== null && entry.action !== "diagnostics.answer") {
    const bytes = Buffer.from(entry.request, "hex");
    said.push({ from: "tester", source: TESTER, target: ecu, bytes });
  }
  if (entry.response !== null && entry.response !== "") {
    const bytes = Buffer.from(entry.response, "hex");
    said.push({ from: "vehicle", source: ecu, target: TESTER, bytes });
  }
  return said;
}

async function addresses(db: Db, vin: string): Promise<(ecuId: string) => number> {
  const vci = await currentEcus(db, vin);
  const known = new Map<string, number>();
  for (const { ecu_id, logical_address } of vci?.ecus ?? [])
    if (logical_address !== undefined) known.set(ecu_id, logical_address);
  let next = UNKNOWN_ECU;
  return (ecuId) => {
    const address = known.get(ecuId) ?? next++;
    known.set(ecuId, address);
    return address;
  };
}
