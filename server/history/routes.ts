import Type from "typebox";
import { HistoryItem, LogItem, Statistic, statisticsBy } from "#protocol/api/history.ts";
import { EcuId, EcuType, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { UpdateStatus } from "#protocol/api/update.ts";
import type { Db } from "#server/database/connection.ts";
import { text } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { csvLine } from "./csv.ts";
import { EXPORT_ROWS, ExportFormat, exportTypes, pages, sendExport } from "./export.ts";
import {
  listHistory,
  listLogs,
  type HistoryFilter,
  type HistoryPosition,
  type HistoryRow,
} from "./queries.ts";
import { dated, Period } from "./period.ts";
import { countHistory } from "./statistics-queries.ts";
import { summarize } from "./statistics.ts";

const tags = ["history"];
const config = { access: { by: "operator" } } as const;

/** What became of updates: one by one, in the vehicles' words, and in numbers. */
export function historyRoutes({ db, now = () => new Date() }: { db: Db; now?: () => Date }) {
  return async (http: Http): Promise<void> => {
    history(http, db);
    logs(http, db);
    statistics(http, db, now);
  };
}

const HistoryCursor = Type.String({ pattern: "^[0-9]{1,14}-[0-9]{1,18}$" });
const Filter = Type.Object({
  vin: Type.Optional(VehicleId),
  ecu_type: Type.Optional(EcuType),
  firmware_id: Type.Optional(Uuid),
  campaign_id: Type.Optional(Uuid),
  status: Type.Optional(UpdateStatus),
  reverted: Type.Optional(
    Type.Boolean({ description: "true: only successes that were taken back later" }),
  ),
  ...Period,
});

function history(http: Http, db: Db): void {
  http.get(
    "/history/updates",
    {
      config,
      schema: {
        tags,
        summary: "ECUs whose updates have ended, the last one first",
        querystring: Type.Object({ ...PageQuery(HistoryCursor).properties, ...Filter.properties }),
        response: { 200: Page(HistoryItem) },
      },
    },
    async ({ query: { limit, cursor, ...filter } }) => {
      const after = cursor === undefined ? undefined : positionOf(cursor);
      const rows = await listHistory(db, dated(filter), { after, limit: limit + 1 });
      const { items, next_cursor } = page(limit, rows, cursorOf);
      return { items: items.map(({ history_id: _, ...item }) => item), next_cursor };
    },
  );

  http.get(
    "/history/updates/export",
    {
      config,
      schema: {
        tags,
        summary: "The same as a file, whole",
        querystring: Type.Object({ format: ExportFormat, ...Filter.properties }),
        response: { 200: text("A line for each", ...exportTypes) },
      },
    },
    async (request, reply) => {
      const { format, ...filter } = request.query;
      const name = "update-history";
      return sendExport(request, reply, { name, format }, exported(db, dated(filter), format));
    },
  );
}

const columns = [
  "completed_at",
  "vin",
  "ecu_id",
  "ecu_type",
  "hardware_version",
  "firmware_id",
  "from_version",
  "to_version",
  "status",
  "started_at",
  "created_at",
  "update_id",
  "campaign_id",
  "zone_id",
  "reverted_at",
] as const satisfies (keyof HistoryRow)[];

async function* exported(
  db: Db,
  filter: HistoryFilter,
  format: ExportFormat,
): AsyncGenerator<string> {
  if (format === "csv") yield csvLine([...columns, "error_code", "error_message"]);
  const read = (last: HistoryRow | undefined) =>
    listHistory(db, filter, {
      after: last && positionOf(cursorOf(last)),
      limit: EXPORT_ROWS,
    });
  for await (const rows of pages(read)) {
    yield rows
      .map(({ history_id: _, ...row }) =>
        format === "json"
          ? `${JSON.stringify(row)}\n`
          : csvLine([
              ...columns.map((column) => row[column]),
              row.error?.code ?? null,
              row.error?.message ?? null,
            ]),
      )
      .join("");
  }
}

function cursorOf({ completed_at, history_id }: HistoryRow): string {
  return `${Date.parse(completed_at)}-${history_id}`;
}

function positionOf(cursor: string): HistoryPosition {
  const [at = "0", history_id = "0"] = cursor.split("-");
  return { at: Number(at), history_id };
}

function logs(http: Http, db: Db): void {
  http.get(
    "/logs",
    {
      config,
      schema: {
        tags,
        summary: "What vehicles have told of their updates, the last first",
        querystring: Type.Object({
          ...PageQuery(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })).properties,
          vin: Type.Optional(VehicleId),
          update_id: Type.Optional(Uuid),
          firmware_id: Type.Optional(Uuid),
          ecu_id: Type.Optional(EcuId),
          status: Type.Optional(Type.String({ minLength: 1, maxLength: 32 })),
          ...Period,
        }),
        response: { 200: Page(LogItem) },
      },
    },
    async ({ query: { limit, ...filter } }) => {
      const rows = await listLogs(db, { ...dated(filter), limit: limit + 1 });
      return page(limit, rows, ({ log_id }) => String(log_id));
    },
  );
}

const Day = Type.String({
  pattern: "^20\\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])$",
  description: "A day, UTC",
  examples: ["2026-01-19"],
});
const DAY_MS = 86_400_000;
const DAYS = 30;
const MOST_DAYS = 3660;

function statistics(http: Http, db: Db, now: () => Date): void {
  http.get(
    "/stats/updates",
    {
      config,
      schema: {
        tags,
        operationId: "getUpdateStats",
        summary: `How updates have ended; of the last ${DAYS} days if nothing else is said`,
        querystring: Type.Object({
          by: Type.Enum(statisticsBy),
          from: Type.Optional(Day),
          to: Type.Optional(Day),
          firmware_id: Type.Optional(Uuid),
          campaign_id: Type.Optional(Uuid),
          ecu_type: Type.Optional(EcuType),
        }),
        response: {
          200: Type.Object({ from: Day, to: Day, items: Type.Array(Statistic) }),
        },
      },
    },
    async ({ query: { by, ...query } }) => {
      const to = dayOf(query.to ?? now());
      const from = dayOf(query.from ?? new Date(Date.parse(to) - (DAYS - 1) * DAY_MS));
      const days = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1;
      if (days < 1 || days > MOST_DAYS) {
        throw new ProblemError("REQUEST_INVALID", `from and to are ${days} days`);
      }
      return { from, to, items: summarize(await countHistory(db, by, { ...query, from, to })) };
    },
  );
}

/** @throws ProblemError REQUEST_INVALID for a day that no month has */
function dayOf(day: string | Date): string {
  const date = new Date(day);
  const text = Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, 10);
  if (typeof day === "string" && text !== day) {
    throw new ProblemError("REQUEST_INVALID", `there is no ${day}`);
  }
  return text;
}
