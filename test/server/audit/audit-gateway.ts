import { auditRoutes } from "#server/audit/routes.ts";
import type { OwnDatabase } from "#test/server/own-database.ts";
import { serveRoutes } from "#test/server/own-routes.ts";

/** The audit log of a test's own database behind HTTPS, for the token `auditor`. */
export async function startAuditGateway({ db, folder }: OwnDatabase) {
  const operators = { auditor: { role: "admin", diagnostic_level: "none" } } as const;
  const gateway = await serveRoutes(folder, [auditRoutes({ db })], operators);
  return {
    ...gateway,
    send: (method: "GET" | "HEAD", path: string) => gateway.send("auditor", method, path),
  };
}
