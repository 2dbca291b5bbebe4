import multipart from "@fastify/multipart";
import Type, { type Static } from "typebox";
import {
  Firmware,
  FirmwareDetail,
  FirmwareForm,
  FirmwarePatch,
  FirmwareQuery,
} from "#protocol/api/firmware.ts";
import { Uuid } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { changeFirmware, firmwareDetail, promoteFirmware, withdrawFirmware } from "./change.ts";
import { listFirmware } from "./list-queries.ts";
import type { ReleaseBook } from "./release-book.ts";
import { sbomRoutes } from "./sbom-routes.ts";
import { receiveUpload, type UploadDeps } from "./upload.ts";

const Id = Type.Object({ firmware_id: Uuid });
const tags = ["firmware"];

export interface FirmwareDeps extends UploadDeps {
  releases: Pick<ReleaseBook, "refresh">;
}

export function firmwareRoutes(deps: FirmwareDeps) {
  return async (http: Http): Promise<void> => {
    reading(http, deps.db);
    await http.register(async (scope) => uploading(scope as unknown as Http, deps));
    changing(http, deps);
    await http.register(sbomRoutes(deps.db));
  };
}

function changing(http: Http, deps: FirmwareDeps): void {
  const { db, releases } = deps;
  const config = { access: { by: "operator", roles: ["release_manager"] } } as const;

  http.patch(
    "/firmware/:firmware_id",
    {
      config,
      schema: {
        tags,
        summary: "Changes a release",
        params: Id,
        body: FirmwarePatch,
        response: { 200: FirmwareDetail },
      },
    },
    async ({ params, body }) => {
      await changeFirmware(db, params.firmware_id, body);
      // What was signed of the image may no longer be what is said of it here.
      const { hardware_versions, min_current_version, requires } = body;
      const isSigned = [hardware_versions, min_current_version, requires].some(
        (each) => each !== undefined,
      );
      await (isSigned ? deps.imagesChanged() : releases.refresh());
      return firmwareDetail(db, params.firmware_id);
    },
  );

  http.post(
    "/firmware/:firmware_id/promote",
    {
      config,
      schema: {
        tags,
        summary: "Brings a release from beta to stable",
        params: Id,
        response: { 200: FirmwareDetail },
      },
    },
    async ({ params }) => {
      await promoteFirmware(db, params.firmware_id);
      await releases.refresh();
      return firmwareDetail(db, params.firmware_id);
    },
  );

  const summary = "Archives, for good: no longer offered nor downloadable, still visible here";
  const schema = { tags, summary, params: Id, response: { 200: FirmwareDetail } };
  const archive = async ({ params }: { params: Static<typeof Id> }) => {
    const firmware = await withdrawFirmware(db, params.firmware_id);
    await releases.refresh();
    return firmware;
  };
  http.post("/firmware/:firmware_id/archive", { config, schema }, archive);
  http.delete("/firmware/:firmware_id", { config, schema }, archive);
}

async function uploading(http: Http, deps: UploadDeps): Promise<void> {
  // The size of the image has a limit of its own; everything around it is small.
  await http.register(multipart, {
    limits: { files: 1, fields: 20, fieldSize: 16_384, fileSize: Number.MAX_SAFE_INTEGER },
    throwFileSizeLimit: false,
  });
  http.post(
    "/firmware",
    {
      config: { access: { by: "operator", roles: ["release_manager"] } },
      schema: {
        tags,
        operationId: "uploadFirmware",
        summary: "Uploads an image: multipart form with `file` and its metadata",
        consumes: ["multipart/form-data"],
        form: FirmwareForm,
        response: { 201: FirmwareDetail },
      },
    },
    async (request, reply) => {
      const firmware = await receiveUpload(request, callingOperator(request).name, deps);
      return reply.code(201).send(firmware);
    },
  );
}

function reading(http: Http, db: Db): void {
  const config = { access: { by: "operator" } } as const;
  const querystring = Type.Object({ ...PageQuery(Uuid).properties, ...FirmwareQuery.properties });
  http.get(
    "/firmware",
    {
      config,
      schema: {
        tags,
        summary: "Releases, newest first unless `sort` says otherwise",
        querystring,
        response: { 200: Page(Firmware) },
      },
    },
    async ({ query }) =>
      page(
        query.limit,
        await listFirmware(db, { ...query, limit: query.limit + 1 }),
        (row) => row.firmware_id,
      ),
  );

  http.get(
    "/firmware/:firmware_id",
    {
      config,
      schema: { tags, summary: "A release", params: Id, response: { 200: FirmwareDetail } },
    },
    async ({ params }) => firmwareDetail(db, params.firmware_id),
  );
}
