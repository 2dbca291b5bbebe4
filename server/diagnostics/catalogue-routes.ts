import Type from "typebox";
import { CatalogueView, SupportedService } from "#protocol/api/catalogue.ts";
import { EcuType } from "#protocol/api/identifier.ts";
import type { Catalogues } from "#protocol/uds/catalogue.ts";
import { diagnosticLevel } from "#protocol/uds/level.ts";
import { isReadOnly, serviceTable, type ServiceEntry } from "#protocol/uds/service.ts";
import type { Http } from "#server/http/http.ts";

const tags = ["diagnostics"];
const config = { access: { by: "operator" } } as const;

/** What the gateway knows of UDS: the tables by which it decodes. */
export function catalogueRoutes({ catalogues }: { catalogues: Catalogues }) {
  const services = serviceTable.map(serviceView);
  return async (http: Http): Promise<void> => {
    http.get(
      "/diagnostics/supported-services",
      {
        config,
        schema: {
          tags,
          summary: "UDS services and sub-functions, and what each may do to a vehicle",
          response: { 200: Type.Object({ services: Type.Array(SupportedService) }) },
        },
      },
      async () => ({ services }),
    );

    http.get(
      "/diagnostics/catalogue",
      {
        config,
        schema: {
          tags,
          summary: "What DIDs, DTCs and routines mean, in general or of one type of ECU",
          querystring: Type.Object({ ecu_type: Type.Optional(EcuType) }),
          response: { 200: CatalogueView },
        },
      },
      async ({ query }) => catalogueView(catalogues, query.ecu_type),
    );
  };
}

function serviceView({ sid, name, subFunctions = new Map() }: ServiceEntry): SupportedService {
  const rights = (request: Uint8Array) => ({
    reads_only: isReadOnly(request),
    level: diagnosticLevel(request),
  });
  return {
    service_id: hexId(sid, 2),
    name,
    ...rights(Uint8Array.of(sid)),
    sub_functions: [...subFunctions].map(([id, subName]) => ({
      id: hexId(id, 2),
      name: subName,
      ...rights(Uint8Array.of(sid, id)),
    })),
  };
}

function catalogueView(catalogues: Catalogues, ecuType: string | undefined): CatalogueView {
  const { dids, dtcs, rids, extendedData, securityLevels } = catalogues.of(ecuType);
  return {
    ecu_type: ecuType ?? null,
    ecu_types: [...catalogues.ecuTypes],
    dids: ordered(dids).map(([, { did, name, codec, definition }]) => ({
      did: hexId(did, 4),
      name,
      codec: definition.codec ?? null,
      length: codec.length ?? null,
      unit: codec.unit ?? null,
    })),
    dtcs: [...dtcs.values()].sort((a, b) => (a.code < b.code ? -1 : 1)),
    rids: ordered(rids).map(([, { rid, name, definition }]) => ({
      rid: hexId(rid, 4),
      name,
      option: definition.option ?? [],
      result: definition.result ?? [],
    })),
    extended_data: ordered(extendedData).map(([, { definition }]) => definition),
    security_levels: ordered(securityLevels).map(([level, name]) => ({ level, name })),
  };
}

function ordered<Entry>(entries: ReadonlyMap<number, Entry>): [number, Entry][] {
  return [...entries].sort(([a], [b]) => a - b);
}

function hexId(id: number, digits: number): string {
  return `0x${id.toString(16).toUpperCase().padStart(digits, "0")}`;
}
