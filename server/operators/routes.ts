import { randomUUIDv7 } from "node:crypto";
import Type, { type Static } from "typebox";
import type { FastifyRequest } from "fastify";
import { Timestamp, Uuid } from "#protocol/api/identifier.ts";
import { LevelName, MAX_NAME, RoleName } from "#protocol/api/operator.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { appendEntry, type NewAuditEntry } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import {
  callingOperator,
  isUnrestricted,
  operatorLevels,
  type Operator,
} from "#server/http/access.ts";
import { NoContent } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { accountById } from "./account-queries.ts";
import { levelOf } from "./level.ts";
import { operatorName } from "./operator-name.ts";
import {
  claimName,
  insertToken,
  listTokens,
  revokeToken,
  tokenEnd,
  type NewToken as NewTokenRow,
} from "./queries.ts";
import { hashToken, newToken } from "./token.ts";

const Scopes = Type.Array(Type.String({ maxLength: 64 }), {
  minItems: 1,
  maxItems: 64,
  description: "{tag}:read and {tag}:write with tags of these pages, or *: all that the role may",
  examples: [["firmware:write", "updates:read"]],
});

const Token = Type.Object({
  token_id: Uuid,
  name: Type.String(),
  role: RoleName,
  diagnostic_level: LevelName,
  account_id: Type.Union([Uuid, Type.Null()], { description: "Whose it is, if an account's" }),
  scopes: Scopes,
  created_at: Timestamp,
  expires_at: Type.Union([Timestamp, Type.Null()]),
});

const NewToken = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: MAX_NAME,
        description: "Who it is for; several tokens of one name are one operator's",
      }),
    ),
    account_id: Type.Optional(
      Type.Unsafe<string>({
        ...Uuid,
        description: "In place of name, role, level: those of the account",
      }),
    ),
    role: Type.Optional(RoleName),
    diagnostic_level: Type.Optional(LevelName),
    scopes: Type.Optional(Scopes),
    expires_in_days: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 3650 })),
  },
  {
    examples: [
      {
        name: "nightly-build",
        role: "release_manager",
        scopes: ["firmware:write"],
        expires_in_days: 90,
      },
    ],
  },
);

export interface OperatorDeps {
  db: Db;
  /** Ends what was begun with the token; the answer to the admin waits for it. */
  onTokenRevoked: (token: { token_id: string; name: string }) => Promise<void>;
}

const config = { access: { by: "operator", roles: ["admin"] }, audit: "own" } as const;
const tags = ["operators"];
const Made = Type.Object({
  token_id: Uuid,
  token: Type.String({ description: "Shown only now" }),
});

/** Static API tokens of operators; only an admin handles them. */
export function operatorRoutes({ db, onTokenRevoked }: OperatorDeps) {
  return async (http: Http): Promise<void> => {
    http.get(
      "/operators/tokens",
      {
        config,
        schema: {
          tags,
          summary: "API tokens, without the tokens themselves",
          response: { 200: Type.Object({ items: Type.Array(Token) }) },
        },
      },
      async () => ({ items: await listTokens(db) }),
    );

    http.post(
      "/operators/tokens",
      {
        config,
        schema: {
          tags,
          summary: "Make an API token; it is shown this once",
          description:
            "A token with scopes makes none but for its own operator, scopes and level, and none that ends after it.",
          body: NewToken,
          response: { 201: Made },
        },
      },
      async (request, reply) => {
        const { body } = request;
        const caller = callingOperator(request);
        demandScopes(body.scopes, caller, http.scopes);
        const token = newToken();
        const made = { token_id: randomUUIDv7(), token_sha256: hashToken(token) };
        await db.transaction().execute(async (tx) => {
          const whose = await holderOf(tx, body);
          const expires_at = await endOf(tx, body.expires_in_days, caller);
          if (!isUnrestricted(caller)) demandOwn(whose, caller);
          await insertToken(tx, { ...whose, ...made, scopes: body.scopes, expires_at });
          const detail = { ...whose, scopes: body.scopes ?? ["*"], expires_at };
          await appendEntry(tx, entry(request, "operator.token_created", made.token_id, detail));
        });
        return reply.code(201).send({ token_id: made.token_id, token });
      },
    );

    http.delete(
      "/operators/tokens/:token_id",
      {
        config,
        schema: {
          tags,
          summary: "Revoke an API token",
          response: { 204: NoContent },
          params: Type.Object({ token_id: Uuid }),
        },
      },
      async (request, reply) => {
        const { token_id } = request.params;
        const revoked = await db.transaction().execute(async (tx) => {
          const token = await revokeToken(tx, token_id);
          if (token === undefined) throw new ProblemError("TOKEN_UNKNOWN");
          const { name } = token;
          await appendEntry(tx, entry(request, "operator.token_revoked", token_id, { name }));
          return token;
        });
        await onTokenRevoked(revoked);
        return reply.code(204).send();
      },
    );
  };
}

/** A token that is for less makes none that is for more. */
function demandScopes(
  scopes: readonly string[] | undefined,
  caller: Operator,
  known: ReadonlySet<string>,
): void {
  const unknown = scopes?.find((scope) => !known.has(scope));
  if (unknown !== undefined) {
    throw new ProblemError("SCOPE_UNKNOWN", `${unknown} is none of ${[...known].join(", ")}`);
  }
  if (isUnrestricted(caller)) return;
  const beyond = (scopes ?? ["*"]).find((scope) => !caller.scopes?.includes(scope));
  if (beyond !== undefined) throw new ProblemError("SCOPE_REQUIRED", `needs ${beyond}`);
}

/** When a new token ends; where nothing is said, with the token that is for less and makes it. */
async function endOf(tx: Tx, days: number | undefined, caller: Operator): Promise<Date | null> {
  const wanted = days === undefined ? null : new Date(Date.now() + days * 86_400_000);
  if (isUnrestricted(caller)) return wanted;
  const end = await tokenEnd(tx, caller.token_id);
  if (end !== null && wanted !== null && wanted > end) {
    throw new ProblemError("SCOPE_REQUIRED", "needs * to make a token that ends later than it");
  }
  return wanted ?? end;
}

/**
 * A second person is somebody of another name: whoever has a token that is for less makes no other
 * names for themselves.
 */
function demandOwn({ name, role, diagnostic_level = null }: Holder, caller: Operator): void {
  if (name !== caller.name) {
    throw new ProblemError("SCOPE_REQUIRED", "needs * to make a token for others");
  }
  // An account's has the level that the caller has.
  if (role === null) return;
  const level = levelOf({ role, diagnostic_level });
  if (operatorLevels.indexOf(level) > operatorLevels.indexOf(caller.diagnostic_level)) {
    throw new ProblemError("SCOPE_REQUIRED", `needs * to make a token of the level ${level}`);
  }
}

type Holder = Pick<NewTokenRow, "name" | "role" | "account_id" | "diagnostic_level">;

/** An account, or whoever the body names. */
async function holderOf(tx: Tx, body: Static<typeof NewToken>): Promise<Holder> {
  const { account_id, role, diagnostic_level } = body;
  if (account_id !== undefined) {
    if (body.name !== undefined || role !== undefined || diagnostic_level !== undefined) {
      throw new ProblemError("REQUEST_INVALID", "name, role and level are those of the account");
    }
    const account = await accountById(tx, account_id);
    if (account === undefined) throw new ProblemError("OPERATOR_UNKNOWN");
    return { account_id, name: account.name, role: null };
  }
  if (body.name === undefined || role === undefined) {
    throw new ProblemError("REQUEST_INVALID", "body needs name and role, or account_id");
  }
  const { name, name_key } = operatorName(body.name);
  if (!(await claimName(tx, { name, name_key, kind: "token" }))) {
    throw new ProblemError("OPERATOR_NAME_TAKEN", name);
  }
  return { name, role, diagnostic_level };
}

function entry(
  request: FastifyRequest,
  action: string,
  subject: string,
  detail: Record<string, unknown>,
): NewAuditEntry {
  const { name, token_id } = callingOperator(request);
  return { actor: `operator:${name}`, action, subject, detail: { ...detail, by_token: token_id } };
}
