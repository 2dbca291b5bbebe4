import Type, { type Static } from "typebox";
import { EcuId, Timestamp, Uuid, VehicleId } from "./identifier.ts";

export const ScanPhase = Type.Enum(["before_update", "after_update"]);
export type ScanPhase = Static<typeof ScanPhase>;
export const ScanStatus = Type.Enum(["requested", "completed", "failed", "expired"]);
export type ScanStatus = Static<typeof ScanStatus>;

export const ScanRequest = Type.Object(
  {
    vin: VehicleId,
    wait_ms: Type.Integer({
      minimum: 0,
      maximum: 60_000,
      default: 0,
      description: "Wait up to this long for the result",
    }),
  },
  { examples: [{ vin: "VMG-001" }] },
);

const orNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);
const Failure = Type.Object({ code: Type.String(), message: Type.String() });

const ScanDtc = Type.Object({
  code: Type.String(),
  raw: Type.String(),
  description: Type.Optional(Type.String()),
  status: Type.String({ description: "Status byte" }),
  status_bits: Type.Array(Type.String()),
});

export type ScanDtc = Static<typeof ScanDtc>;

const ScannedDid = Type.Object({
  did: Type.String(),
  name: Type.String(),
  value: Type.Unknown(),
  unit: Type.Optional(Type.String()),
  raw: Type.String({ description: "Upper-case hex" }),
});

export const ScanEcu = Type.Object({
  ecu_id: EcuId,
  dids: Type.Array(ScannedDid),
  dtcs_raw: orNull(Type.String({ description: "The whole answer to 19 02 FF" })),
  dtcs: orNull(Type.Array(ScanDtc, { description: "null: they could not be read" })),
  error: orNull(Failure),
});
export type ScanEcu = Static<typeof ScanEcu>;

const scan = {
  scan_id: Uuid,
  vin: VehicleId,
  update_id: orNull(Uuid),
  phase: orNull(ScanPhase),
  status: ScanStatus,
  requested_by: orNull(Type.String()),
  error: orNull(Failure),
  created_at: Timestamp,
  taken_at: orNull(Timestamp),
  completed_at: orNull(Timestamp),
};
export const ScanSummary = Type.Object(scan);
export type ScanSummary = Static<typeof ScanSummary>;
export const Scan = Type.Object({ ...scan, ecus: Type.Array(ScanEcu) });
export type Scan = Static<typeof Scan>;

const DtcChange = Type.Object({
  ecu_id: EcuId,
  code: Type.String(),
  raw: Type.String(),
  description: Type.Optional(Type.String()),
  change: Type.Enum(["new", "gone", "status"]),
  before: orNull(Type.String({ description: "Status byte" })),
  after: orNull(Type.String()),
  bits_set: Type.Array(Type.String()),
  bits_cleared: Type.Array(Type.String()),
});
const DidChange = Type.Object({
  ecu_id: EcuId,
  did: Type.String(),
  name: Type.String(),
  before: orNull(ScannedDid),
  after: orNull(ScannedDid),
});

export const ScanDiff = Type.Object({
  before: Uuid,
  after: Uuid,
  ecus_missing: Type.Array(EcuId, { description: "Were there before" }),
  ecus_new: Type.Array(EcuId),
  dtcs_unread: Type.Array(EcuId, {
    description: "Without trouble codes in one of the two: they can't be compared",
  }),
  dtcs: Type.Array(DtcChange),
  dids: Type.Array(DidChange),
});
export type ScanDiff = Static<typeof ScanDiff>;
