import Type from "typebox";
import { Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { Approval, approvalStates } from "./approval.ts";
import { listApprovals } from "./approval-queries.ts";
import type { Approvals } from "./approvals.ts";

const tags = ["diagnostics"];
const Comment = Type.Object(
  { comment: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })) },
  { additionalProperties: false, examples: [{ comment: "The vehicle is in our workshop" }] },
);

/** What waits for a second operator, and their word on it. */
export function approvalRoutes({ db, approvals }: { db: Db; approvals: Approvals }) {
  return async (http: Http): Promise<void> => {
    http.get(
      "/diagnostics/approvals",
      {
        config: { access: { by: "operator" } },
        schema: {
          tags,
          summary: "What waits for another person's approval, or did",
          querystring: Type.Object({
            ...PageQuery(Uuid).properties,
            vin: Type.Optional(VehicleId),
            state: Type.Optional(Type.Enum(approvalStates)),
            subject: Type.Optional(Uuid),
          }),
          response: { 200: Page(Approval) },
        },
      },
      async ({ query }) =>
        page(
          query.limit,
          await listApprovals(db, { ...query, limit: query.limit + 1 }),
          (row) => row.approval_id,
        ),
    );

    for (const [verb, approved] of [
      ["approve", true],
      ["reject", false],
    ] as const) {
      http.post(
        `/diagnostics/approvals/:approval_id/${verb}`,
        {
          config: {
            access: { by: "operator", roles: ["diagnostician", "release_manager"] },
            audit: "own",
          },
          schema: {
            tags,
            summary: `Another operator than the one who asked ${verb}s it`,
            params: Type.Object({ approval_id: Uuid }),
            body: Comment,
            response: { 200: Approval },
          },
        },
        async (request) =>
          approvals.decide(request.params.approval_id, callingOperator(request), {
            approved,
            comment: request.body.comment,
          }),
      );
    }
  };
}
