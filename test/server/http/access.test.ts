import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { auditLimits } from "#protocol/api/audit.ts";
import { actionOf } from "#server/audit/changes.ts";
import { roles, scopeOf, type Role } from "#server/http/access.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";

type Who = "nobody" | "vehicle" | Role;

const everyRole = [...roles];
const managers: Who[] = ["release_manager", "admin"];
const diagnosticians: Who[] = ["diagnostician", ...managers];
const campaigners: Who[] = ["campaign_manager", "admin"];
const approvers: Who[] = ["approver", "admin"];
const vehicle: Who[] = ["vehicle"];
const vehicleAndOperators: Who[] = ["vehicle", ...roles];
const anyone: Who[] = ["nobody", "vehicle", ...roles];

/** Who may call what. A route that is missing here fails the test. */
const policy: Record<string, Who[]> = {
  "POST /api/v1/vehicles/register": vehicle,
  "POST /api/v1/vehicles/{vin}/vci": vehicle,
  "POST /api/v1/ota/check": vehicle,
  "POST /api/v1/ota/package": vehicle,
  "GET /api/v1/ota/package/{package_id}": vehicle,
  "HEAD /api/v1/ota/package/{package_id}": vehicle,
  "POST /api/v1/ota/status": vehicle,
  "GET /api/v1/vehicles": everyRole,
  "GET /api/v1/vehicles/{vin}": everyRole,
  "PATCH /api/v1/vehicles/{vin}": managers,
  "DELETE /api/v1/vehicles/{vin}": managers,
  "GET /api/v1/vehicles/{vin}/explain": everyRole,
  "GET /api/v1/vehicles/{vin}/plan": everyRole,
  "GET /api/v1/stats/vehicles": everyRole,
  "POST /api/v1/campaigns/dry-run": everyRole,
  "POST /api/v1/campaigns/{campaign_id}/dry-run": everyRole,
  "POST /api/v1/vehicles/preview": everyRole,
  "POST /api/v1/vehicles/tags": ["campaign_manager", ...managers],
  "GET /api/v1/vehicles/{vin}/vci": everyRole,
  "GET /api/v1/vehicles/{vin}/telemetry": everyRole,
  "GET /api/v1/anomalies": everyRole,
  "GET /api/v1/vehicles/{vin}/config": everyRole,
  "PUT /api/v1/vehicles/{vin}/config": managers,
  "GET /api/v1/vehicles/{vin}/commands": everyRole,
  "POST /api/v1/vehicles/{vin}/commands": ["diagnostician", ...managers],
  "GET /api/v1/commands/{command_id}": everyRole,
  "POST /api/v1/ota/readiness": vehicle,
  "GET /api/v1/policies": everyRole,
  "POST /api/v1/policies": [...managers, "campaign_manager"],
  "GET /api/v1/policies/{policy_id}": everyRole,
  "PUT /api/v1/policies/{policy_id}": [...managers, "campaign_manager"],
  "DELETE /api/v1/policies/{policy_id}": [...managers, "campaign_manager"],
  "GET /api/v1/vehicles/{vin}/policy": everyRole,
  "PUT /api/v1/vehicles/{vin}/policy": [...managers, "campaign_manager"],
  "DELETE /api/v1/vehicles/{vin}/policy": [...managers, "campaign_manager"],
  "POST /api/v1/commands/{command_id}/cancel": ["diagnostician", ...managers],
  "GET /api/v1/firmware": everyRole,
  "POST /api/v1/firmware": managers,
  "GET /api/v1/firmware/{firmware_id}": everyRole,
  "PATCH /api/v1/firmware/{firmware_id}": managers,
  "DELETE /api/v1/firmware/{firmware_id}": managers,
  "GET /api/v1/firmware/{firmware_id}/sbom": everyRole,
  "PUT /api/v1/firmware/{firmware_id}/sbom": managers,
  "DELETE /api/v1/firmware/{firmware_id}/sbom": managers,
  "POST /api/v1/firmware/{firmware_id}/archive": managers,
  "POST /api/v1/firmware/{firmware_id}/promote": managers,
  "GET /api/v1/updates": everyRole,
  "GET /api/v1/updates/{update_id}": everyRole,
  "POST /api/v1/updates/{update_id}/cancel": managers,
  "GET /api/v1/campaigns": everyRole,
  "POST /api/v1/campaigns": campaigners,
  "GET /api/v1/campaigns/{campaign_id}": everyRole,
  "PATCH /api/v1/campaigns/{campaign_id}": campaigners,
  "DELETE /api/v1/campaigns/{campaign_id}": campaigners,
  "GET /api/v1/campaigns/{campaign_id}/vehicles": everyRole,
  "GET /api/v1/campaigns/{campaign_id}/progress": everyRole,
  "POST /api/v1/campaigns/{campaign_id}/retry": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/rollback": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/clone": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/submit": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/withdraw": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/schedule": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/start": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/pause": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/resume": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/finish": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/stop": campaigners,
  "POST /api/v1/campaigns/{campaign_id}/approve": approvers,
  "POST /api/v1/campaigns/{campaign_id}/reject": approvers,
  "POST /api/v1/diagnostics/send": diagnosticians,
  "POST /api/v1/diagnostics/broadcast": diagnosticians,
  "GET /api/v1/diagnostics/results": everyRole,
  "GET /api/v1/diagnostics/results/{request_id}": everyRole,
  "GET /api/v1/diagnostics/results/events": everyRole,
  "POST /api/v1/diagnostics/results/{request_id}/cancel": diagnosticians,
  "GET /api/v1/diagnostics/capture": diagnosticians,
  "POST /api/v1/diagnostics/revoke": diagnosticians,
  "POST /api/v1/diagnostics/sessions": diagnosticians,
  "GET /api/v1/diagnostics/sessions": everyRole,
  "GET /api/v1/diagnostics/sessions/{session_id}": everyRole,
  "DELETE /api/v1/diagnostics/sessions/{session_id}": diagnosticians,
  "POST /api/v1/diagnostics/sessions/{session_id}/takeover": diagnosticians,
  "POST /api/v1/diagnostics/sessions/{session_id}/unlock": diagnosticians,
  "POST /api/v1/diagnostics/sessions/{session_id}/authenticate": diagnosticians,
  "GET /api/v1/diagnostics/sessions/{session_id}/capture": diagnosticians,
  "POST /api/v1/diagnostics/scripts": diagnosticians,
  "GET /api/v1/diagnostics/scripts": everyRole,
  "GET /api/v1/diagnostics/scripts/{script_id}": everyRole,
  "DELETE /api/v1/diagnostics/scripts/{script_id}": diagnosticians,
  "GET /api/v1/diagnostics/scripts/{script_id}/steps": everyRole,
  "GET /api/v1/diagnostics/scripts/{script_id}/events": everyRole,
  "POST /api/v1/diagnostics/scans": diagnosticians,
  "GET /api/v1/diagnostics/scans": everyRole,
  "GET /api/v1/diagnostics/scans/{scan_id}": everyRole,
  "GET /api/v1/diagnostics/scans/{before}/diff/{after}": everyRole,
  "GET /api/v1/diagnostics/updates/{update_id}/diff": everyRole,
  "GET /api/v1/diagnostics/catalogue": everyRole,
  "GET /api/v1/diagnostics/supported-services": everyRole,
  "GET /api/v1/diagnostics/policy/rules": ["admin"],
  "POST /api/v1/diagnostics/policy/rules": ["admin"],
  "PUT /api/v1/diagnostics/policy/rules/{rule_id}": ["admin"],
  "DELETE /api/v1/diagnostics/policy/rules/{rule_id}": ["admin"],
  "POST /api/v1/diagnostics/policy/check": ["admin"],
  "GET /api/v1/diagnostics/approvals": everyRole,
  "POST /api/v1/diagnostics/approvals/{approval_id}/approve": ["diagnostician", ...managers],
  "POST /api/v1/diagnostics/approvals/{approval_id}/reject": ["diagnostician", ...managers],
  "GET /api/v1/history/updates": everyRole,
  "GET /api/v1/history/updates/export": everyRole,
  "GET /api/v1/logs": everyRole,
  "GET /api/v1/stats/updates": everyRole,
  "GET /api/v1/register": everyRole,
  "GET /api/v1/register/{record_id}": everyRole,
  "GET /api/v1/register/export": everyRole,
  "GET /api/v1/events": everyRole,
  "GET /api/v1/events/stream": everyRole,
  "GET /api/v1/webhooks": ["admin"],
  "POST /api/v1/webhooks": ["admin"],
  "GET /api/v1/webhooks/{webhook_id}": ["admin"],
  "PATCH /api/v1/webhooks/{webhook_id}": ["admin"],
  "DELETE /api/v1/webhooks/{webhook_id}": ["admin"],
  "POST /api/v1/webhooks/{webhook_id}/test": ["admin"],
  "POST /api/v1/webhooks/{webhook_id}/rotate-secret": ["admin"],
  "GET /api/v1/webhooks/{webhook_id}/deliveries": ["admin"],
  "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": ["admin"],
  "POST /api/v1/webhooks/{webhook_id}/redeliver": ["admin"],
  "GET /api/v1/audit": managers,
  "GET /api/v1/audit/head": managers,
  "GET /api/v1/audit/export": managers,
  "GET /api/v1/uptane/image/{file}": vehicleAndOperators,
  "GET /api/v1/uptane/director/{file}": vehicle,
  "GET /api/v1/uptane/director/{vin}/{file}": vehicleAndOperators,
  "GET /api/v1/uptane/keys": everyRole,
  "GET /api/v1/uptane/pending": everyRole,
  "GET /api/v1/uptane/status": everyRole,
  "POST /api/v1/uptane/keys/rotate": managers,
  "POST /api/v1/uptane/{repository}/metadata": managers,
  "POST /api/v1/uptane/{repository}/rehearsal": managers,
  "GET /api/v1/certificates": everyRole,
  "GET /api/v1/certificates/crl": anyone,
  // The body has a token, or the certificate says who it is.
  "POST /api/v1/certificates/enroll": anyone,
  "POST /api/v1/certificates/renew": vehicle,
  "POST /api/v1/certificates/enrollment-tokens": ["admin"],
  "POST /api/v1/certificates/revoke": ["admin"],
  "POST /api/v1/auth/login": anyone,
  "POST /api/v1/auth/refresh": anyone,
  "POST /api/v1/auth/oidc": anyone,
  "POST /api/v1/auth/logout": everyRole,
  "POST /api/v1/auth/password": everyRole,
  "GET /api/v1/auth/me": everyRole,
  "GET /api/v1/auth/sessions": everyRole,
  "DELETE /api/v1/auth/sessions/{session_id}": everyRole,
  "GET /api/v1/operators/accounts": ["admin"],
  "POST /api/v1/operators/accounts": ["admin"],
  "GET /api/v1/operators/accounts/{account_id}": ["admin"],
  "PATCH /api/v1/operators/accounts/{account_id}": ["admin"],
  "DELETE /api/v1/operators/accounts/{account_id}": ["admin"],
  "POST /api/v1/operators/accounts/{account_id}/password": ["admin"],
  "GET /api/v1/operators/accounts/{account_id}/sessions": ["admin"],
  "DELETE /api/v1/operators/accounts/{account_id}/sessions/{session_id}": ["admin"],
  "GET /api/v1/operators/tokens": ["admin"],
  "POST /api/v1/operators/tokens": ["admin"],
  "DELETE /api/v1/operators/tokens/{token_id}": ["admin"],
  "GET /healthz": anyone,
  "GET /readyz": anyone,
  "GET /metrics": anyone,
};

/** POST for the sake of their bodies: whoever may read may call them, also by a token for reading. */
const reading = new Set([
  "POST /api/v1/vehicles/preview",
  "POST /api/v1/campaigns/dry-run",
  "POST /api/v1/campaigns/{campaign_id}/dry-run",
  "POST /api/v1/diagnostics/policy/check",
]);

const callers: Who[] = ["nobody", "vehicle", ...roles];
const vin = "VMG-001";
const nothing = "00000000-0000-7000-8000-000000000000";
/** What can't be read, so that the answer is not a stream without end. */
const unreadable: Record<string, string> = {
  "/api/v1/diagnostics/results/events": "?status=none",
  "/api/v1/events/stream": "?kind=none",
};
const samples: Record<string, string> = { vin, package_id: `pkg-${"0".repeat(32)}` };

let gateway: TestGateway;
const as = {} as Record<Who, Caller>;
/** What the description of the API says that a token has to be for. */
const documentedScopes = new Map<string, string>();
/** The tags of each route; the first is what tokens are restricted by. */
let tagsOf: ReadonlyMap<string, string[]>;
/** Admins' and viewers' tokens that are for one scope alone. */
const scoped = new Map<string, Caller>();

beforeAll(async () => {
  gateway = await startGateway();
  as.nobody = gateway.operator("");
  as.vehicle = await gateway.vehicle(vin);
  for (const role of roles) as[role] = gateway.operator((await newToken({ role })).token);
  tagsOf = await documentedRoutes();
  for (const scope of new Set([...tagsOf.keys()].filter(isForOperators).map(scopeFor))) {
    for (const role of ["admin", "viewer"]) {
      const { token } = await newToken({ role, scopes: [scope] });
      scoped.set(`${role} ${scope}`, gateway.operator(token));
    }
  }
});
afterAll(() => gateway.close());

async function newToken(body: object): Promise<{ token_id: string; token: string }> {
  const answer = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
    body: { name: "test", ...body },
  });
  expect(answer.status).toBe(201);
  return answer.json as { token_id: string; token: string };
}

async function documentedRoutes(): Promise<Map<string, string[]>> {
  const { json } = await gateway.admin.send("GET", "/docs/json");
  type Operation = { tags?: string[]; "x-scope"?: string };
  const paths = json.paths as Record<string, Record<string, Operation>>;
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { "x-scope": scope }] of Object.entries(methods)) {
      if (scope !== undefined) documentedScopes.set(`${method.toUpperCase()} ${path}`, scope);
    }
  }
  return new Map(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(
        ([method, { tags = [] }]) => [`${method.toUpperCase()} ${path}`, tags] as const,
      ),
    ),
  );
}

function isForOperators(route: string): boolean {
  const allowed = policy[route] ?? [];
  return allowed.includes("admin") && !allowed.includes("nobody");
}

function scopeFor(route: string): string {
  const [method = "", path = ""] = route.split(" ");
  const tags = tagsOf.get(route) ?? tagsOf.get(`GET ${path}`);
  const schema = { tags: tags ?? [] };
  return (
    scopeOf(method, reading.has(route) ? { schema, config: { reads: true } } : { schema }) ?? "none"
  );
}

/** Makes accounts or, as no scopes are said, tokens that may do more than the one it is called with. */
const isBeyondScopes = (route: string) =>
  /^(?!GET|HEAD)\w+ .+\/operators\/accounts|^POST .+\/operators\/tokens$/.test(route);

describe("every route", () => {
  it("is in the policy, and the policy has no other", () => {
    expect(tagsOf.size).toBeGreaterThan(30);
    expect([...tagsOf.keys()].sort()).toEqual(Object.keys(policy).sort());
  });

  it("has a tag, and a name that fits an entry of the audit log", () => {
    for (const [route, tags] of tagsOf) {
      const [method = "", path = ""] = route.split(" ");
      expect([route, tags.length]).toEqual([route, 1]);
      expect(actionOf(method, path).length).toBeLessThanOrEqual(auditLimits.action);
    }
    expect(scopeOf("HEAD", { schema: { tags: ["vehicles"] } })).toBe("vehicles:read");
  });

  it("says in the description which scope it takes", () => {
    expect(documentedScopes.size).toBeGreaterThan(80);
    for (const [route, scope] of documentedScopes) {
      expect([route, scope]).toEqual([route, scopeFor(route)]);
    }
  });

  // Fastify answers HEAD wherever it answers GET, but for streams.
  const withHeads = Object.entries(policy).flatMap(([route, who]) => {
    const head = route.replace(/^GET /, "HEAD ");
    const isStream = /^GET .+\/(events|stream)$/.test(route);
    return isStream || head === route || head in policy
      ? [[route, who]]
      : [
          [route, who],
          [head, who],
        ];
  }) as [string, Who[]][];

  it.each(withHeads)("%s: %j and nobody else", async (route, allowed) => {
    const { method, url, options } = requestOf(route);
    const outcomes = await Promise.all(
      callers.map(async (who) => {
        const answer = await as[who].send(method, url, options);
        expect(answer.status).toBeLessThan(500);
        return [who, answer.status !== 401 && answer.status !== 403] as const;
      }),
    );
    expect(
      outcomes
        .filter(([, passed]) => passed)
        .map(([who]) => who)
        .sort(),
    ).toEqual([...allowed].sort());
  });

  const restricted = Object.keys(policy).filter(isForOperators);

  it.each(restricted)("%s by a token that is for less", async (route) => {
    const { method, url, options } = requestOf(route);
    const scope = scopeFor(route);
    const turned = scope.replace(/\w+$/, (word) => (word === "read" ? "write" : "read"));
    const other = scope === "vehicles:read" ? "updates:read" : "vehicles:read";
    const codeFor = async (who: string) => {
      const answer = await scoped.get(who)?.send(method, url, options);
      const code = answer?.json?.code as unknown;
      return code === "SCOPE_REQUIRED" || code === "ROLE_REQUIRED" ? code : "passed";
    };
    expect(await codeFor(`admin ${other}`)).toBe("SCOPE_REQUIRED");
    const isThere = scoped.has(`admin ${turned}`);
    expect(await codeFor(`admin ${isThere ? turned : other}`)).toBe("SCOPE_REQUIRED");
    expect(await codeFor(`admin ${scope}`)).toBe(
      isBeyondScopes(route) ? "SCOPE_REQUIRED" : "passed",
    );
    // Scopes add nothing to a role.
    const mayView = policy[route]?.includes("viewer");
    expect(await codeFor(`viewer ${scope}`)).toBe(mayView ? "passed" : "ROLE_REQUIRED");
  });
});

function requestOf(route: string) {
  const [method = "", path = ""] = route.split(" ");
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) => samples[name] ?? nothing);
  const hasBody = ["POST", "PUT", "PATCH"].includes(method);
  return { method, url: url + (unreadable[path] ?? ""), options: hasBody ? { body: {} } : {} };
}

describe("an operator", () => {
  const list = "/api/v1/vehicles";
  const withHeader = (authorization: string) =>
    gateway.operator("").send("GET", list, { headers: { authorization } });

  it.each([
    ["no token", "", "TOKEN_REQUIRED"],
    ["an empty token", "Bearer ", "TOKEN_REQUIRED"],
    ["another scheme", "Basic YWRtaW46YWRtaW4=", "TOKEN_REQUIRED"],
    ["an unknown token", `Bearer lwt_${"A".repeat(43)}`, "TOKEN_INVALID"],
    ["a hash in place of a token", `Bearer ${"0".repeat(64)}`, "TOKEN_INVALID"],
    ["SQL", "Bearer '||true--", "TOKEN_INVALID"],
    ["a very long token", `Bearer ${"x".repeat(8000)}`, "TOKEN_INVALID"],
  ])("with %s is refused", async (_, header, code) => {
    const answer = await withHeader(header);
    expect(answer.status).toBe(401);
    expect(answer.json.code).toBe(code);
    expect(answer.headers["www-authenticate"]).toMatch(/^Bearer/);
  });

  it("with a token that is revoked is refused from then on", async () => {
    const { token, token_id } = await newToken({ role: "viewer" });
    const path = `/api/v1/operators/tokens/${token_id}`;
    expect((await withHeader(`Bearer ${token}`)).status).toBe(200);
    expect((await gateway.admin.send("DELETE", path)).status).toBe(204);
    expect((await withHeader(`Bearer ${token}`)).json.code).toBe("TOKEN_INVALID");
    const again = await gateway.admin.send("DELETE", path);
    expect([again.status, again.json.code]).toEqual([404, "TOKEN_UNKNOWN"]);
  });

  it("with a token that has expired is refused", async () => {
    const { token } = await newToken({ role: "viewer", expires_in_days: 1e-9 });
    expect((await withHeader(`Bearer ${token}`)).json.code).toBe("TOKEN_INVALID");
  });

  it("is told which role it takes", async () => {
    const answer = await as.viewer.send("POST", "/api/v1/diagnostics/send", { body: {} });
    expect(answer.json).toMatchObject({
      code: "ROLE_REQUIRED",
      detail: "needs diagnostician or release_manager, not viewer",
    });
  });

  it("can't make itself more than it is", async () => {
    const answer = await as.release_manager.send("POST", "/api/v1/operators/tokens", {
      body: { name: "me", role: "admin" },
    });
    expect(answer.json.code).toBe("ROLE_REQUIRED");
    const root = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
      body: { name: "me", role: "root" },
    });
    expect(root.json.code).toBe("REQUEST_INVALID");
  });

  it("never reads a token back, and the log does not know one", async () => {
    const { token } = await newToken({ role: "viewer" });
    await withHeader(`Bearer ${token}`);
    const tokens = await gateway.admin.send("GET", "/api/v1/operators/tokens");
    expect(tokens.bytes.toString()).not.toMatch(/lwt_|sha256/);
    expect(JSON.stringify(gateway.log)).not.toContain(token);
  });

  it("is asked for the token before the body is looked at", async () => {
    const answer = await gateway.operator("").send("POST", "/api/v1/diagnostics/send", {
      raw: { type: "application/json", body: "{" },
    });
    expect(answer.json.code).toBe("TOKEN_REQUIRED");
  });
});

describe("anyone", () => {
  it.each(["/healthz", "/readyz", "/metrics", "/docs/json"])("may read %s", async (path) => {
    expect((await as.nobody.send("GET", path)).status).toBe(200);
  });
});
