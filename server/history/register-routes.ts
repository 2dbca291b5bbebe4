import Type from "typebox";
import { Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { RegisterEntry } from "#protocol/api/register.ts";
import { jcs } from "#protocol/bytes/jcs.ts";
import type { Db } from "#server/database/connection.ts";
import { text } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { csvLine } from "./csv.ts";
import { EXPORT_ROWS, ExportFormat, exportTypes, pages, sendExport } from "./export.ts";
import { dated, Period } from "./period.ts";
import { enterRecords } from "./register.ts";
import { listRecords, recordById, type RegisterFilter } from "./register-queries.ts";

const tags = ["register"];
const config = { access: { by: "operator" } } as const;
const Filter = Type.Object({
  vin: Type.Optional(VehicleId),
  update_id: Type.Optional(Uuid),
  rxswin: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  ...Period,
});

/** The register of updates of regulated software (UN Regulation No. 156). */
export function registerRoutes({ db }: { db: Db }) {
  return async (http: Http): Promise<void> => {
    http.get(
      "/register",
      {
        config,
        schema: {
          tags,
          operationId: "listRegisterRecords",
          summary:
            "Updates of software that has an RxSWIN: why they were issued, what came of them, and what was taken back",
          querystring: Type.Object({ ...PageQuery(Uuid).properties, ...Filter.properties }),
          response: { 200: Page(RegisterEntry) },
        },
      },
      async ({ query: { limit, cursor, ...filter } }) => {
        const from = { cursor, limit: limit + 1, order: "desc" } as const;
        const rows = await listRecords(db, dated(filter), from);
        return page(limit, rows, ({ record }) => record.record_id);
      },
    );

    http.get(
      "/register/:record_id",
      {
        config,
        schema: {
          tags,
          operationId: "getRegisterRecord",
          summary: "A record of the register",
          params: Type.Object({ record_id: Uuid }),
          response: { 200: RegisterEntry },
        },
      },
      async ({ params }) => {
        const entry = await recordById(db, params.record_id);
        if (entry === undefined) throw new ProblemError("REGISTER_RECORD_UNKNOWN");
        return entry;
      },
    );

    http.get(
      "/register/export",
      {
        config,
        schema: {
          tags,
          summary: "The same as a file, whole; each JSON line in the form of RFC 8785",
          querystring: Type.Object({ format: ExportFormat, ...Filter.properties }),
          response: { 200: text("A line for each", ...exportTypes) },
        },
      },
      async (request, reply) => {
        const { format, ...filter } = request.query;
        // Whoever holds the file to the audit log finds all of it there.
        await enterRecords(db, new Date());
        const text = exported(db, { ...dated(filter), isEntered: true }, format);
        return sendExport(request, reply, { name: "register", format }, text);
      },
    );
  };
}

const columns = [
  "at",
  "kind",
  "vin",
  "rxswins",
  "update_id",
  "status",
  "ecu_id",
  "ecu_type",
  "hardware_version",
  "version_before",
  "version_after",
  "rxswin_before",
  "rxswin_after",
  "campaign_id",
  "approved_by",
  "package_id",
  "manifest_sha256",
  "vci_id",
  "evidence",
  "record_id",
  "hash",
  "audit_seq",
];

async function* exported(
  db: Db,
  filter: RegisterFilter,
  format: "csv" | "json",
): AsyncGenerator<string> {
  if (format === "csv") yield csvLine(columns);
  const read = (last: RegisterEntry | undefined) =>
    listRecords(db, filter, {
      cursor: last?.record.record_id,
      limit: EXPORT_ROWS,
      order: "asc",
    });
  for await (const rows of pages(read)) {
    yield rows.map((entry) => (format === "json" ? `${jcs(entry)}\n` : csvOf(entry))).join("");
  }
}

/** A line for each ECU. */
function csvOf({ record, hash, audit_seq }: RegisterEntry): string {
  const { at, kind, vin, update_id, record_id, vci } = record;
  const begin = [at, kind, vin, record.rxswins.join(" "), update_id];
  const end = [vci?.vci_id ?? null, vci?.evidence ?? null, record_id, hash, audit_seq];
  const ecus =
    record.kind === "issued"
      ? record.ecus.map((ecu) => [
          null,
          ecu.ecu_id,
          ecu.ecu_type,
          ecu.hardware_version,
          ecu.from_version,
          ecu.to_version,
          ecu.rxswin_before,
          ecu.rxswin_after,
          record.campaign?.campaign_id ?? null,
          record.campaign?.approved_by ?? null,
          record.package.package_id,
          record.package.manifest_sha256,
        ])
      : record.ecus.map(({ ecu_id, version, rxswin }) => [
          record.kind === "result" ? record.status : null,
          ecu_id,
          ...[null, null, null, version, null, rxswin],
          ...[null, null, null, null],
        ]);
  return ecus.map((ecu) => csvLine([...begin, ...ecu, ...end])).join("");
}
