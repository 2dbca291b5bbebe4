import Type, { type Static } from "typebox";
import { diagnosticLevels } from "#protocol/uds/level.ts";
import { Timestamp, Uuid } from "./identifier.ts";

const closed = { additionalProperties: false } as const;

/**
 * What an operator may do. `admin` may do everything; every role may read. A campaign manager makes
 * and runs campaigns, an approver lets those of others start.
 */
export const roles = [
  "viewer",
  "diagnostician",
  "release_manager",
  "campaign_manager",
  "approver",
  "admin",
] as const;
export type Role = (typeof roles)[number];

/** How far an operator may go with diagnostics; each includes the ones before. */
export const operatorLevels = ["none", ...diagnosticLevels] as const;
export type OperatorLevel = (typeof operatorLevels)[number];

export const RoleName = Type.Enum(roles);
export const LevelName = Type.Enum(operatorLevels, {
  description:
    "How far diagnostics may go: read, write, control are a diagnostician's levels 1, 2, 3; by default control for diagnostician and admin, none for others",
});

/** Longest name of an account or token, as it is stored. */
export const MAX_NAME = 64;
const Name = Type.String({ minLength: 1, maxLength: MAX_NAME, examples: ["alice"] });
const DisplayName = Type.String({ maxLength: 128 });
/** Long enough for whatever a password is judged by; see PASSWORD_UNSUITABLE. */
const Password = Type.String({ maxLength: 4096, writeOnly: true });

const TemporaryUntil = Type.Union([Timestamp, Type.Null()], {
  description: "A temporary password is good before; null: it has no end",
});

/** A person's account, or that of somebody whom the OIDC issuer vouches for. */
export const Account = Type.Object({
  account_id: Uuid,
  name: Name,
  display_name: Type.Union([DisplayName, Type.Null()]),
  role: RoleName,
  diagnostic_level: LevelName,
  external: Type.Boolean({ description: "The OIDC issuer says who it is and which role it has" }),
  vouched_until: Type.Union([Timestamp, Type.Null()], {
    description:
      "Without another token of the OIDC issuer, sessions and API tokens are good before; null: a person of the gateway's own",
  }),
  disabled: Type.Boolean(),
  locked_until: Type.Union([Timestamp, Type.Null()], { description: "After failed logins" }),
  password_temporary: Type.Boolean({ description: "Good for setting one's own, and nothing else" }),
  password_expires_at: TemporaryUntil,
  created_at: Timestamp,
});
export type Account = Static<typeof Account>;

export const NewAccount = Type.Object(
  {
    name: Name,
    display_name: Type.Optional(DisplayName),
    role: RoleName,
    diagnostic_level: Type.Optional(LevelName),
    password: Type.Optional(Password),
  },
  {
    ...closed,
    examples: [{ name: "alice", display_name: "Alice Brown", role: "campaign_manager" }],
  },
);
export type NewAccount = Static<typeof NewAccount>;

export const AccountChange = Type.Object(
  {
    display_name: Type.Optional(Type.Union([DisplayName, Type.Null()])),
    role: Type.Optional(RoleName),
    diagnostic_level: Type.Optional(
      Type.Union([LevelName, Type.Null()], { description: "null: what the role has by default" }),
    ),
    disabled: Type.Optional(Type.Boolean()),
  },
  { ...closed, minProperties: 1, examples: [{ role: "diagnostician", diagnostic_level: "write" }] },
);
export type AccountChange = Static<typeof AccountChange>;

export const PasswordReset = Type.Object(
  { password: Type.Optional(Password) },
  { ...closed, examples: [{}] },
);
export const OneTimePassword = Type.Object({
  password: Type.String({
    description: "Shown only now; whoever logs in with it sets their own in the same request",
  }),
  password_expires_at: TemporaryUntil,
});

export const Login = Type.Object(
  {
    name: Type.String({ maxLength: 256 }),
    password: Password,
    new_password: Type.Optional(Password),
  },
  { ...closed, examples: [{ name: "alice", password: "correct horse battery staple" }] },
);
export const PasswordChange = Type.Object(
  { password: Password, new_password: Password },
  {
    ...closed,
    examples: [
      { password: "correct horse battery staple", new_password: "seven brakes on a rainy day" },
    ],
  },
);
export const IdTokenLogin = Type.Object(
  { id_token: Type.String({ minLength: 1, maxLength: 16_384, writeOnly: true }) },
  { ...closed, examples: [{ id_token: "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln" }] },
);
export const Refresh = Type.Object(
  { refresh_token: Type.String({ minLength: 1, maxLength: 256, writeOnly: true }) },
  { ...closed, examples: [{ refresh_token: "lwr_4N0sQ2m8fXo5V7bKc1TzYhLwPaRdUeGi" }] },
);

/** What a login, or the refresh of one, gives; in the names of RFC 6749 §5.1. */
export const Grant = Type.Object({
  access_token: Type.String({ description: "For Authorization: Bearer" }),
  token_type: Type.Literal("Bearer"),
  expires_in: Type.Integer({ description: "Seconds that the access token is good for" }),
  refresh_token: Type.String({ description: "Good once; give it for the next of both" }),
  session_id: Uuid,
});
export type Grant = Static<typeof Grant>;

export const OperatorSession = Type.Object({
  session_id: Uuid,
  kind: Type.Enum(["session", "oidc"], {
    description: "session: by a login; oidc: a token of the issuer that was shown",
  }),
  created_at: Timestamp,
  used_at: Timestamp,
  expires_at: Timestamp,
  source: Type.Union([Type.String(), Type.Null()], { description: "Address of the last login" }),
});
export type OperatorSession = Static<typeof OperatorSession>;

/** Who somebody is and what they may do now. */
export const Myself = Type.Object({
  name: Name,
  role: RoleName,
  diagnostic_level: LevelName,
  scopes: Type.Array(Type.String(), { description: '["*"]: all that the role may' }),
});
