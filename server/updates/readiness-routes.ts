import { ReadinessAnswer, ReadinessRequest } from "#protocol/api/readiness.ts";
import { callingVehicle } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { answerReadiness, type ReadinessDeps } from "./readiness.ts";

export function readinessRoutes(deps: ReadinessDeps) {
  return async (http: Http): Promise<void> => {
    http.post(
      "/ota/readiness",
      {
        config: { access: { by: "vehicle" } },
        schema: {
          tags: ["ota"],
          operationId: "askReadiness",
          summary: "May the vehicle download, or install? Asked before each of them",
          body: ReadinessRequest,
          response: { 200: ReadinessAnswer },
        },
      },
      async (request) => answerReadiness(deps, callingVehicle(request), request.body),
    );
  };
}
