import multipart from "@fastify/multipart";
import Type from "typebox";
import { Firmware, FirmwarePatch, FirmwareStatus, Publication } from "#protocol/api/firmware.ts";
import { Channel, EcuType, Uuid } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { checkChain } from "./firmware.ts";
import { archiveFirmware, firmwareById, listFirmware, patchFirmware } from "./queries.ts";
import { receiveUpload, type UploadDeps } from "./upload.ts";

const Id = Type.Object({ firmware_id: Uuid });
const tags = ["firmware"];

export function firmwareRoutes(deps: UploadDeps) {
  const { db } = deps;
  return async (http: Http): Promise<void> => {
    reading(http, db);
    await http.register(async (scope) => uploading(scope as unknown as Http, deps));
    const config = { access: { by: "operator", roles: ["release_manager"] } } as const;

    http.patch(
      "/firmware/:firmware_id",
      { config, schema: { tags, params: Id, body: FirmwarePatch, response: { 200: Firmware } } },
      async ({ params, body }) => {
        const before = await existing(db, params.firmware_id);
        if (body.min_current_version !== undefined)
          checkChain(before.version, body.min_current_version);
        const firmware = await patchFirmware(db, params.firmware_id, body);
        if (firmware === undefined) throw new ProblemError("FIRMWARE_ARCHIVED", params.firmware_id);
        if (body.hardware_versions === undefined && body.min_current_version === undefined)
          return firmware;
        // What was signed of the image is no longer what is said of it here.
        await deps.imagesChanged();
        return existing(db, params.firmware_id);
      },
    );

    http.delete(
      "/firmware/:firmware_id",
      {
        config,
        schema: {
          tags,
          summary: "Archives: no longer offered to vehicles, still visible here",
          params: Id,
          response: { 200: Firmware },
        },
      },
      async ({ params }) => {
        const firmware = await archiveFirmware(db, params.firmware_id);
        if (firmware === undefined) throw new ProblemError("FIRMWARE_UNKNOWN", params.firmware_id);
        return firmware;
      },
    );
  };
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
        summary: "Uploads an image: multipart form with `file` and its metadata",
        consumes: ["multipart/form-data"],
        response: { 201: Firmware },
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
  http.get(
    "/firmware",
    {
      config,
      schema: {
        tags,
        querystring: Type.Object({
          ...PageQuery(Uuid).properties,
          ecu_type: Type.Optional(EcuType),
          channel: Type.Optional(Channel),
          status: Type.Optional(FirmwareStatus),
          publication: Type.Optional(Publication),
        }),
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
    { config, schema: { tags, params: Id, response: { 200: Firmware } } },
    async ({ params }) => existing(db, params.firmware_id),
  );
}

async function existing(db: Db, firmwareId: string): Promise<Firmware> {
  const firmware = await firmwareById(db, firmwareId);
  if (firmware === undefined) throw new ProblemError("FIRMWARE_UNKNOWN", firmwareId);
  return firmware;
}
