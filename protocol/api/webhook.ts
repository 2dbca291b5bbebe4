import Type, { type Static } from "typebox";
import { EventId, EventKind } from "./event.ts";
import { Timestamp, Uuid, VehicleId } from "./identifier.ts";

const OrNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);

const Url = Type.String({
  pattern: "^https?://",
  maxLength: 2048,
  description: "https; http only where the configuration allows private addresses",
  examples: ["https://example.com/latticeway"],
});
const Description = Type.String({ maxLength: 256 });
const Kinds = Type.Array(
  Type.String({
    pattern: "^([a-z_]{1,32}\\.([a-z_]{1,32}|\\*))$",
    examples: ["campaign.*", "update.finished"],
  }),
  { maxItems: 64, description: "What it is told of; empty: everything" },
);
const Secret = Type.String({
  pattern: "^whsec_[A-Za-z0-9+/]{32,88}={0,2}$",
  description: "whsec_ and 24 to 64 random bytes in base64, as Standard Webhooks has it",
  examples: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
});

export const NewWebhook = Type.Object(
  {
    url: Url,
    description: Type.Optional(Description),
    kinds: Type.Optional(Kinds),
    vin: Type.Optional(VehicleId),
    secret: Type.Optional(Secret),
    active: Type.Optional(Type.Boolean({ default: true })),
  },
  {
    additionalProperties: false,
    examples: [
      { url: "https://example.com/latticeway", description: "Fleet desk", kinds: ["campaign.*"] },
    ],
  },
);
export type NewWebhook = Static<typeof NewWebhook>;

export const WebhookChange = Type.Object(
  {
    url: Type.Optional(Url),
    description: Type.Optional(OrNull(Description)),
    kinds: Type.Optional(Kinds),
    vin: Type.Optional(OrNull(VehicleId)),
    active: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false, minProperties: 1, examples: [{ active: false }] },
);
export type WebhookChange = Static<typeof WebhookChange>;

export const Webhook = Type.Object({
  webhook_id: Uuid,
  url: Url,
  description: OrNull(Description),
  kinds: Kinds,
  vin: OrNull(VehicleId),
  active: Type.Boolean(),
  disabled_reason: Type.Union([Type.String(), Type.Null()], {
    description: "Why the gateway has put it out of use",
  }),
  previous_secret_until: Type.Union([Timestamp, Type.Null()], {
    description: "Until then what it is sent is signed by the secret before, too",
  }),
  failures: Type.Integer({ minimum: 0, description: "In a row, of whatever delivery" }),
  rests_until: Type.Union([Timestamp, Type.Null()], {
    description: "Nothing is tried before, for so much has failed",
  }),
  dead_since: Type.Union([Timestamp, Type.Null()], {
    description: "Since when deliveries are given up, with none in between that arrived",
  }),
  created_by: Type.String(),
  created_at: Timestamp,
});
export type Webhook = Static<typeof Webhook>;

export const WebhookWithSecret = Type.Object({
  ...Webhook.properties,
  secret: Type.String({ description: "Shown this once" }),
});

export const SecretRotation = Type.Object(
  {
    secret: Type.Optional(Secret),
    overlap_h: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 720,
        default: 24,
        description: "How long the secret before is valid beside it, in hours",
      }),
    ),
  },
  { additionalProperties: false, examples: [{ overlap_h: 24 }] },
);

export const deliveryStatuses = ["waiting", "delivered", "dead"] as const;
export const DeliveryStatus = Type.Enum(deliveryStatuses);
export type DeliveryStatus = Static<typeof DeliveryStatus>;

export const Delivery = Type.Object({
  delivery_id: Type.Integer({ minimum: 1 }),
  event_id: EventId,
  kind: EventKind,
  status: DeliveryStatus,
  attempts: Type.Integer({ minimum: 0 }),
  due_at: Type.Union([Timestamp, Type.Null()], { description: "When it is tried next" }),
  answered: Type.Union([Type.Integer(), Type.Null()], {
    description: "Status of the last answer; null: there was none",
  }),
  error: Type.Union([Type.String(), Type.Null()], { description: "Why the last try failed" }),
  created_at: Timestamp,
  tried_at: Type.Union([Timestamp, Type.Null()]),
});
export type Delivery = Static<typeof Delivery>;
