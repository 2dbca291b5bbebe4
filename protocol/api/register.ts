import { createHash } from "node:crypto";
import Type, { type Static } from "typebox";
import { jcs } from "#protocol/bytes/jcs.ts";
import { Sha256, Timestamp, Uuid, VehicleId } from "./identifier.ts";

const OrNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);
const Text = Type.String();
const closed = { additionalProperties: false } as const;

const head = {
  record_id: Uuid,
  update_id: Uuid,
  vin: VehicleId,
  at: Timestamp,
  rxswins: Type.Array(Text, {
    description: "RxSWINs that the update touches, of what was there and of what it brings",
  }),
};

const Vci = Type.Object(
  {
    vci_id: Uuid,
    received_at: Timestamp,
    evidence: Text,
  },
  { ...closed, description: "What the vehicle said that it consists of; `signed` is proven" },
);

/** That an update was found fit for a vehicle, and why, as it was then. */
export const IssuedRecord = Type.Object(
  {
    ...head,
    kind: Type.Literal("issued"),
    channel: OrNull(Text),
    campaign: OrNull(
      Type.Object(
        {
          campaign_id: Uuid,
          name: Text,
          created_by: Text,
          approved_by: OrNull(Text),
          approved_at: OrNull(Timestamp),
        },
        closed,
      ),
    ),
    package: Type.Object({ package_id: Text, manifest_sha256: OrNull(Sha256) }, closed),
    policy: OrNull(
      Type.Object(
        { policy_id: OrNull(Uuid), name: OrNull(Text), source: Text, mode: Text },
        { ...closed, description: "That the vehicle had" },
      ),
    ),
    command_id: Type.Union([Uuid, Type.Null()], {
      description: "The operator's command that asked for it",
    }),
    vci: OrNull(Vci),
    ecus: Type.Array(
      Type.Object(
        {
          ecu_id: Text,
          zone_id: Text,
          ecu_type: Text,
          hardware_version: Text,
          firmware_id: Uuid,
          image_sha256: OrNull(Sha256),
          from_version: Text,
          to_version: Text,
          rxswin_before: OrNull(Text),
          rxswin_after: OrNull(Text),
          compatibility: Type.Object(
            {
              hardware_versions: Type.Array(Text),
              min_current_version: OrNull(Text),
              channel: Text,
              availability: Text,
              requires: Type.Array(
                Type.Object(
                  {
                    ecu_type: Text,
                    min_version: Text,
                    met_by: Type.Array(Type.Object({ ecu_id: Text, version: Text }, closed), {
                      description: "With this update done",
                    }),
                  },
                  closed,
                ),
              ),
            },
            { ...closed, description: "What the release demanded" },
          ),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type IssuedRecord = Static<typeof IssuedRecord>;

const later = {
  ...head,
  issued: Type.Object({ record_id: Uuid, hash: Sha256 }, closed),
  vci: OrNull(Vci),
  ecus: Type.Array(
    Type.Object(
      {
        ecu_id: Text,
        version: OrNull(Text),
        rxswin: OrNull(Text),
      },
      { ...closed, description: "As the VCI shows it" },
    ),
  ),
};

/** What became of it, and what proves that. */
export const ResultRecord = Type.Object(
  {
    ...later,
    kind: Type.Literal("result"),
    status: Text,
    error: OrNull(Type.Object({ code: Text, message: Text }, closed)),
    started_at: OrNull(Timestamp),
  },
  closed,
);
export type ResultRecord = Static<typeof ResultRecord>;

/** That ECUs were taken back after it had succeeded, and what shows that. */
export const RevertedRecord = Type.Object({ ...later, kind: Type.Literal("reverted") }, closed);
export type RevertedRecord = Static<typeof RevertedRecord>;

export const RegisterRecord = Type.Union([IssuedRecord, ResultRecord, RevertedRecord]);
export type RegisterRecord = Static<typeof RegisterRecord>;

/** A record, with what proves that it is as it was written. */
export const RegisterEntry = Type.Object(
  {
    record: RegisterRecord,
    hash: Type.String({
      description: "SHA-256 of the record in the form of RFC 8785, lower-case hex",
    }),
    audit_seq: Type.Union([Type.Integer(), Type.Null()], {
      description: "The entry of the audit log that has the hash; null: it comes within a minute",
    }),
  },
  closed,
);
export type RegisterEntry = Static<typeof RegisterEntry>;

export function registerHash(record: RegisterRecord): string {
  return createHash("sha256").update(jcs(record)).digest("hex");
}

/** The action of the audit log's entries that have hashes of records. */
export const REGISTER_ENTERED = "register.entered";

/** The `detail` of such an entry. */
export const EnteredRecords = Type.Object({
  records: Type.Array(Type.Object({ record_id: Uuid, hash: Sha256 })),
});
