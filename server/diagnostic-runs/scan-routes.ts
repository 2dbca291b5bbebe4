import Type from "typebox";
import { Scan, ScanDiff, ScanRequest, ScanSummary } from "#protocol/api/diagnostic-scan.ts";
import { Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator, diagnosticRoles } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { listScans } from "./scan-queries.ts";
import type { Scans } from "./scans.ts";

const tags = ["diagnostics"];
const acting = {
  access: { by: "operator", roles: diagnosticRoles },
  audit: "own",
} as const;
const reading = { access: { by: "operator" } } as const;

export function scanRoutes(deps: { db: Db; scans: Scans }) {
  return async (http: Http): Promise<void> => {
    scanning(http, deps);
    differences(http, deps);
  };
}

function scanning(http: Http, { db, scans }: { db: Db; scans: Scans }): void {
  http.post(
    "/diagnostics/scans",
    {
      config: acting,
      schema: {
        tags,
        summary: "Reads identification and trouble codes of every ECU of a vehicle",
        body: ScanRequest,
        response: { 201: Scan, 202: Scan },
      },
    },
    async (request, reply) => {
      const scan = await scans.start(callingOperator(request), request.body);
      return reply.code(scan.status === "requested" ? 202 : 201).send(scan);
    },
  );

  http.get(
    "/diagnostics/scans",
    {
      config: reading,
      schema: {
        tags,
        summary: "Scans, newest first",
        querystring: Type.Object({
          ...PageQuery(Uuid).properties,
          vin: Type.Optional(VehicleId),
          update_id: Type.Optional(Uuid),
        }),
        response: { 200: Page(ScanSummary) },
      },
    },
    async ({ query }) =>
      page(
        query.limit,
        await listScans(db, { ...query, limit: query.limit + 1 }),
        (row) => row.scan_id,
      ),
  );

  http.get(
    "/diagnostics/scans/:scan_id",
    {
      config: reading,
      schema: {
        tags,
        summary: "A scan, with what each ECU has told",
        params: Type.Object({ scan_id: Uuid }),
        response: { 200: Scan },
      },
    },
    async ({ params }) => scans.read(params.scan_id),
  );
}

function differences(http: Http, { scans }: { scans: Scans }): void {
  http.get(
    "/diagnostics/scans/:before/diff/:after",
    {
      config: reading,
      schema: {
        tags,
        operationId: "compareScans",
        summary: "What has changed from one scan of a vehicle to another",
        params: Type.Object({ before: Uuid, after: Uuid }),
        response: { 200: ScanDiff },
      },
    },
    async ({ params }) => scans.diff(params.before, params.after),
  );

  http.get(
    "/diagnostics/updates/:update_id/diff",
    {
      config: reading,
      schema: {
        tags,
        operationId: "compareScansOfUpdate",
        summary: "What an update has changed, by the scans before and after it",
        params: Type.Object({ update_id: Uuid }),
        response: { 200: ScanDiff },
      },
    },
    async ({ params }) => scans.diffOfUpdate(params.update_id),
  );
}
