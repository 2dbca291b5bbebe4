import Type from "typebox";
import { ExplainQuery, Explanation } from "#protocol/api/explain.ts";
import { VehicleId } from "#protocol/api/identifier.ts";
import type { Http } from "#server/http/http.ts";
import { createExplainer, type ExplainDeps } from "./explain.ts";

/** Why a vehicle gets a firmware, or not. */
export function explainRoutes(deps: ExplainDeps) {
  const explain = createExplainer(deps);
  return async (http: Http): Promise<void> => {
    http.get(
      "/vehicles/:vin/explain",
      {
        config: { access: { by: "operator" } },
        schema: {
          tags: ["vehicles"],
          operationId: "explainFirmware",
          summary: "Why a vehicle gets a firmware, or each reason why not",
          params: Type.Object({ vin: VehicleId }),
          querystring: ExplainQuery,
          response: { 200: Explanation },
        },
      },
      async ({ params, query }) => explain(params.vin, query, new Date()),
    );
  };
}
