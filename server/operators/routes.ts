import { randomUUIDv7 } from "node:crypto";
import Type from "typebox";
import { Timestamp, Uuid } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { operatorLevels, roles } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { insertToken, listTokens, revokeToken } from "./queries.ts";
import { hashToken, newToken } from "./token.ts";

const Token = Type.Object({
  token_id: Uuid,
  name: Type.String(),
  role: Type.Enum(roles),
  diagnostic_level: Type.Enum(operatorLevels),
  created_at: Timestamp,
  expires_at: Type.Union([Timestamp, Type.Null()]),
});

const NewToken = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 64 }),
  role: Type.Enum(roles),
  diagnostic_level: Type.Optional(
    Type.Enum(operatorLevels, {
      description: "How far diagnostics may go; by default control for diagnostician and admin",
    }),
  ),
  expires_in_days: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 3650 })),
});

export interface OperatorDeps {
  db: Db;
  /** Ends what was begun with the token; the answer to the admin waits for it. */
  onTokenRevoked: (token: { token_id: string; name: string }) => Promise<void>;
}

/** Static API tokens of operators; only an admin handles them. */
export function operatorRoutes({ db, onTokenRevoked }: OperatorDeps) {
  const config = { access: { by: "operator", roles: ["admin"] } } as const;
  return async (http: Http): Promise<void> => {
    http.get(
      "/operators/tokens",
      {
        config,
        schema: {
          tags: ["operators"],
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
          tags: ["operators"],
          body: NewToken,
          response: {
            201: Type.Object({
              token_id: Uuid,
              token: Type.String({ description: "Shown only now" }),
            }),
          },
        },
      },
      async ({ body }, reply) => {
        const token = newToken();
        const token_id = randomUUIDv7();
        const days = body.expires_in_days;
        await insertToken(db, {
          token_id,
          name: body.name,
          role: body.role,
          diagnostic_level: body.diagnostic_level,
          token_sha256: hashToken(token),
          expires_at: days === undefined ? null : new Date(Date.now() + days * 86_400_000),
        });
        return reply.code(201).send({ token_id, token });
      },
    );

    http.delete(
      "/operators/tokens/:token_id",
      { config, schema: { tags: ["operators"], params: Type.Object({ token_id: Uuid }) } },
      async ({ params }, reply) => {
        const revoked = await revokeToken(db, params.token_id);
        if (revoked === undefined) throw new ProblemError("TOKEN_UNKNOWN");
        await onTokenRevoked(revoked);
        return reply.code(204).send();
      },
    );
  };
}
