import Type, { type Static } from "typebox";
import { Deferral } from "./deferral.ts";
import { EcuId } from "./ecu-id.ts";
import { Instant } from "./instant.ts";
import { Uuid } from "./uuid.ts";

/** What a vehicle says of the update it is carrying out. */
export const reportedStatuses = [
  "downloading",
  "verifying",
  "backing_up",
  "installing",
  "restarting",
  "health_check",
  "completed",
  "rolling_back",
  "rolled_back",
  "failed",
  "deferred",
] as const;
export type ReportedStatus = (typeof reportedStatuses)[number];

/** A step of an update, by MQTT `ota/status` or `POST /ota/status`. */
export const OtaStatus = Type.Object(
  {
    update_id: Uuid,
    status: Type.Enum(reportedStatuses),
    progress: Type.Number({
      minimum: 0,
      maximum: 100,
      description: "Of the whole update, percent",
    }),
    ecu_id: Type.Optional(EcuId),
    bytes_downloaded: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    message: Type.Optional(Type.String({ maxLength: 1024 })),
    error: Type.Optional(
      Type.Object({
        code: Type.String({ maxLength: 64 }),
        message: Type.String({ maxLength: 1024 }),
      }),
    ),
    reasons: Type.Optional(
      Type.Array(Deferral, { maxItems: 16, description: "Why the vehicle waits: of `deferred`" }),
    ),
    ts: Instant,
  },
  {
    examples: [
      {
        update_id: "019c2f4e-7d3a-7b10-8c55-5f2d6c1b9e01",
        status: "downloading",
        progress: 40,
        bytes_downloaded: 4194304,
        ts: "2026-01-19T10:07:00Z",
      },
    ],
  },
);
export type OtaStatus = Static<typeof OtaStatus>;
