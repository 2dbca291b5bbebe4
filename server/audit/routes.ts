import { Readable } from "node:stream";
import Type from "typebox";
import { AuditEntry, auditLimits, AuditHead } from "#protocol/api/audit.ts";
import { EcuId, Timestamp, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { jcs } from "#protocol/bytes/jcs.ts";
import type { Db } from "#server/database/connection.ts";
import { text } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { auditHead, entriesAfter, listEntries } from "./queries.ts";

const tags = ["audit"];
const config = { access: { by: "operator", roles: ["release_manager"] } } as const;
const Seq = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const textOf = (name: keyof typeof auditLimits) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: auditLimits[name] }));

/** Reading the audit log; nothing is written by anybody's request. */
export function auditRoutes({ db }: { db: Db }) {
  return async (http: Http): Promise<void> => {
    http.get(
      "/audit",
      {
        config,
        schema: {
          tags,
          operationId: "listAuditEntries",
          summary: "Entries of the audit log, newest first",
          querystring: Type.Object({
            ...PageQuery(Seq).properties,
            vin: Type.Optional(VehicleId),
            ecu_id: Type.Optional(EcuId),
            actor: textOf("actor"),
            action: textOf("action"),
            subject: textOf("subject"),
            from: Type.Optional(Timestamp),
            to: Type.Optional(Timestamp),
          }),
          response: { 200: Page(AuditEntry) },
        },
      },
      async ({ query: { from, to, ...query } }) => {
        const rows = await listEntries(db, {
          ...query,
          from: from === undefined ? undefined : new Date(from),
          to: to === undefined ? undefined : new Date(to),
          limit: query.limit + 1,
        });
        return page(query.limit, rows, ({ seq }) => String(seq));
      },
    );

    http.get(
      "/audit/head",
      {
        config,
        schema: { tags, summary: "The last entry's place and hash", response: { 200: AuditHead } },
      },
      async () => auditHead(db),
    );

    http.get(
      "/audit/export",
      {
        config,
        schema: {
          tags,
          summary: "The whole log, an entry a line, in the form of RFC 8785",
          response: { 200: text("An entry a line", "application/x-ndjson") },
        },
      },
      async ({ method }, reply) => {
        void reply.type("application/x-ndjson");
        // It would be read to its end for nobody.
        if (method === "HEAD") return reply.send();
        return reply.send(Readable.from(exported(db), { objectMode: false }));
      },
    );
  };
}

/** The longest entries there can be take half a megabyte each. */
const EXPORT_ROWS = 100;

/** The log up to what is its end now, or somewhat later; as much of it at once as the reader takes. */
async function* exported(db: Db): AsyncGenerator<Buffer> {
  const { seq: last } = await auditHead(db);
  let after = 0;
  while (after < last) {
    const entries = await entriesAfter(db, { after, limit: EXPORT_ROWS });
    const end = entries.at(-1)?.seq;
    // Somebody has taken entries out: what is left shows it.
    if (end === undefined) return;
    yield Buffer.from(entries.map((entry) => `${jcs(entry)}\n`).join(""));
    after = end;
  }
}
