import Type, { type Static } from "typebox";
import { UptaneKey } from "#protocol/uptane/key.ts";
import { Sha256, Timestamp } from "./identifier.ts";

const RoleKeys = Type.Array(UptaneKey, {
  minItems: 1,
  maxItems: 16,
  description: "An ECDSA and an ML-DSA key",
});

/** The ceremony signs what it is given here: a role that the gateway has no say in must not get in. */
const closed = { additionalProperties: false };

/** `GET /uptane/keys`: the public keys that the gateway signs online roles with. */
export const OnlineKeys = Type.Object(
  {
    director: Type.Object({ targets: RoleKeys, snapshot: RoleKeys, timestamp: RoleKeys }, closed),
    image: Type.Object({ snapshot: RoleKeys, timestamp: RoleKeys }, closed),
  },
  closed,
);
export type OnlineKeys = Static<typeof OnlineKeys>;

/** An image as image targets name it. */
const PendingTarget = Type.Object(
  {
    path: Type.String({ minLength: 1, maxLength: 1024 }),
    length: Type.Integer({ minimum: 0 }),
    hashes: Type.Object(
      {
        sha256: Sha256,
        sha512: Type.Optional(
          Type.String({ pattern: "^[0-9a-f]{128}$", examples: ["0f".repeat(64)] }),
        ),
      },
      { additionalProperties: false },
    ),
    custom: Type.Object({}, { description: "For which ECUs and hardware, and which release" }),
  },
  { additionalProperties: false },
);
export type PendingTarget = Static<typeof PendingTarget>;

/** `GET /uptane/pending`: images that no signed targets name yet. */
export const PendingTargets = Type.Array(PendingTarget, { maxItems: 10_000 });
export type PendingTargets = Static<typeof PendingTargets>;

/** The body of `POST /uptane/{repository}/metadata` and `…/rehearsal`: a file of a role. */
export const SignedMetadata = Type.Object(
  {
    signatures: Type.Array(Type.Object({ keyid: Type.String(), sig: Type.String() })),
    signed: Type.Object({}, { description: "What is signed, as TUF 1.0 §4 says for its `_type`" }),
  },
  {
    examples: [
      {
        signatures: [
          {
            keyid: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            sig: "3045022100",
          },
        ],
        signed: { _type: "root", version: 2 },
      },
    ],
  },
);

/** `POST /uptane/{repository}/metadata`: what was taken. */
export const PublishedMetadata = Type.Object({
  repository: Type.Enum(["director", "image"]),
  role: Type.String(),
  version: Type.Integer({ minimum: 1 }),
  live: Type.Boolean({ description: "Served from now on" }),
  changed: Type.Boolean({ description: "False for what was served before" }),
  waiting_for: Type.Array(Type.String(), {
    description: "Roles that must come as well before it is served",
  }),
});
export type PublishedMetadata = Static<typeof PublishedMetadata>;

/** Vehicles by the newest root that they are known to hold; null for those that never asked. */
const ByRoot = {
  root_version: Type.Union([Type.Integer(), Type.Null()]),
  vehicles: Type.Integer(),
};

const RepositoryStatus = Type.Object({
  roles: Type.Array(
    Type.Object({
      role: Type.String(),
      version: Type.Integer(),
      expires_at: Timestamp,
      live: Type.Boolean({ description: "Served; else it waits for other roles" }),
      signed_by: Type.Enum(["gateway", "ceremony"]),
      key_ids: Type.Array(Type.String()),
    }),
  ),
  vehicles: Type.Array(Type.Object(ByRoot)),
});

/** `GET /uptane/status`: what is published, until when, and which roots vehicles hold. */
export const TrustStatus = Type.Object({
  mode: Type.String(),
  awaiting_signature: Type.Integer({ description: "Images that no targets name yet" }),
  director: RepositoryStatus,
  image: RepositoryStatus,
});
export type TrustStatus = Static<typeof TrustStatus>;

/** `POST /uptane/{repository}/rehearsal`: what publishing a root would do to the vehicles. */
export const Rehearsal = Type.Object({
  goes_on: Type.Integer(),
  waits: Type.Integer({ description: "Goes on once roles are published that the root waits for" }),
  stranded: Type.Integer(),
  unknown: Type.Integer(),
  roots: Type.Array(
    Type.Object({
      ...ByRoot,
      outcome: Type.String(),
      waiting_for: Type.Optional(Type.Array(Type.String())),
      code: Type.Optional(Type.String()),
      detail: Type.Optional(Type.String()),
    }),
  ),
});
export type Rehearsal = Static<typeof Rehearsal>;
