import Type, { type Static } from "typebox";

/**
 * Every error that the gateway answers over HTTP: its stable code, the status it travels with, and
 * the title of its problem document. `docs/errors.md` explains each; a test holds the two together.
 */
export const problems = {
  REQUEST_MALFORMED: { status: 400, title: "The request body is not valid JSON" },
  REQUEST_INVALID: { status: 400, title: "The request does not fit its schema" },
  HTTP_MALFORMED: { status: 400, title: "What was sent is not an HTTP request" },
  UPLOAD_INCOMPLETE: { status: 400, title: "The upload ended before the file did" },
  CLIENT_CERTIFICATE_REQUIRED: { status: 401, title: "This route needs a vehicle certificate" },
  CLIENT_CERTIFICATE_REJECTED: { status: 401, title: "The client certificate is not accepted" },
  TOKEN_REQUIRED: { status: 401, title: "This route needs an operator token" },
  TOKEN_INVALID: { status: 401, title: "The operator token is unknown, expired or revoked" },
  LOGIN_REFUSED: { status: 401, title: "Name and password do not go together" },
  REFRESH_TOKEN_INVALID: { status: 401, title: "The refresh token is unknown, expired or revoked" },
  REFRESH_TOKEN_REUSED: { status: 401, title: "The refresh token has been used before" },
  ROLE_REQUIRED: { status: 403, title: "The operator's role does not allow this" },
  SCOPE_REQUIRED: { status: 403, title: "The operator's token is not for this" },
  PASSWORD_EXPIRED: { status: 403, title: "The temporary password is over" },
  PASSWORD_CHANGE_REQUIRED: {
    status: 403,
    title: "This password is good for setting one's own, and nothing else",
  },
  OIDC_ROLE_MISSING: { status: 403, title: "The issuer names no role for this operator" },
  VEHICLE_MISMATCH: { status: 403, title: "The certificate speaks for another vehicle" },
  TLS_PROFILE_TOO_WEAK: {
    status: 403,
    title: "The connection is weaker than the vehicle's minimum TLS profile",
  },
  UPDATE_NOT_APPROVED: { status: 403, title: "The vehicle updates by an operator's command only" },
  UPDATE_WINDOW_CLOSED: { status: 403, title: "No maintenance window of the vehicle is open" },
  PACKAGE_NOT_ASSIGNED: { status: 403, title: "The package was not assigned to this vehicle" },
  SESSION_OF_ANOTHER: { status: 403, title: "The diagnostic session is another operator's" },
  TAKEOVER_REFUSED: { status: 403, title: "The session's holder has no lower role" },
  ENROLLMENT_TOKEN_INVALID: {
    status: 403,
    title: "The enrolment token is unknown, used or expired",
  },
  DIAGNOSTIC_DENIED: { status: 403, title: "The operator may not do this to this ECU" },
  APPROVAL_OWN: { status: 403, title: "Nobody approves what they have asked for themselves" },
  CAMPAIGN_OWN_APPROVAL: {
    status: 403,
    title: "Nobody approves a campaign that they had a hand in",
  },
  APPROVAL_LEVEL_REQUIRED: {
    status: 403,
    title: "The operator's diagnostic level is below what is to be decided",
  },
  OPERATOR_REVOKED: { status: 403, title: "The operator's token was revoked meanwhile" },
  ROUTE_UNKNOWN: { status: 404, title: "There is no such route" },
  VEHICLE_UNKNOWN: { status: 404, title: "There is no such vehicle" },
  ECU_UNKNOWN: { status: 404, title: "The vehicle's VCI has no such ECU" },
  ZONE_UNKNOWN: { status: 404, title: "The vehicle's VCI has no such zonal gateway" },
  FIRMWARE_UNKNOWN: { status: 404, title: "There is no such firmware" },
  SBOM_UNKNOWN: { status: 404, title: "The firmware has no SBOM" },
  METADATA_UNKNOWN: { status: 404, title: "There is no such metadata file" },
  PACKAGE_UNKNOWN: { status: 404, title: "There is no such package" },
  UPDATE_UNKNOWN: { status: 404, title: "There is no such update" },
  DIAGNOSTIC_UNKNOWN: { status: 404, title: "There is no such diagnostic request" },
  DIAGNOSTIC_RULE_UNKNOWN: { status: 404, title: "There is no such rule for diagnostics" },
  APPROVAL_UNKNOWN: { status: 404, title: "There is no such approval" },
  SESSION_UNKNOWN: { status: 404, title: "There is no such diagnostic session" },
  SCRIPT_UNKNOWN: { status: 404, title: "There is no such diagnostic script" },
  SCAN_UNKNOWN: { status: 404, title: "There is no such scan" },
  CAMPAIGN_UNKNOWN: { status: 404, title: "There is no such campaign" },
  COMMAND_UNKNOWN: { status: 404, title: "There is no such command" },
  POLICY_UNKNOWN: { status: 404, title: "There is no such policy" },
  CERTIFICATE_UNKNOWN: { status: 404, title: "There is no such certificate on record" },
  WEBHOOK_UNKNOWN: { status: 404, title: "There is no such webhook" },
  WEBHOOK_DELIVERY_UNKNOWN: { status: 404, title: "The webhook has no such delivery" },
  REGISTER_RECORD_UNKNOWN: { status: 404, title: "The register has no such record" },
  TOKEN_UNKNOWN: { status: 404, title: "There is no such operator token" },
  OPERATOR_UNKNOWN: { status: 404, title: "There is no such operator account" },
  OPERATOR_SESSION_UNKNOWN: { status: 404, title: "There is no such session of an operator" },
  OIDC_OFF: { status: 404, title: "This gateway knows no issuer of ID tokens" },
  REQUEST_TIMEOUT: { status: 408, title: "The request did not arrive in time" },
  VEHICLE_NOT_REGISTERED: { status: 409, title: "The vehicle has not registered yet" },
  VEHICLE_OFFLINE: { status: 409, title: "The vehicle is not connected" },
  SCAN_RUNNING: { status: 409, title: "The vehicle is being scanned" },
  SESSION_EXISTS: { status: 409, title: "The ECU is in a diagnostic session" },
  SESSION_ENDED: { status: 409, title: "The diagnostic session is not open" },
  VCI_MISSING: { status: 409, title: "The vehicle has not submitted a VCI yet" },
  FIRMWARE_EXISTS: { status: 409, title: "This version is already published" },
  FIRMWARE_STABLE: { status: 409, title: "The firmware is on stable already" },
  FIRMWARE_ARCHIVED: { status: 409, title: "The firmware is archived" },
  LOGIN_REQUIRED: { status: 409, title: "Only whoever has logged in can do this" },
  OPERATOR_NAME_TAKEN: { status: 409, title: "Another operator has this name, or had it" },
  OPERATOR_EXTERNAL: {
    status: 409,
    title: "The issuer says this of the operator, not the gateway",
  },
  PACKAGE_NOTHING_OUTDATED: { status: 409, title: "Nothing is outdated" },
  UPDATE_TRANSITION_REFUSED: {
    status: 409,
    title: "The update is not in a state that allows this",
  },
  TRUST_ROLE_ONLINE: { status: 409, title: "The gateway signs this role itself" },
  TRUST_ROLE_OFFLINE: { status: 409, title: "This role's keys are not the gateway's" },
  TRUST_KEY_MISSING: { status: 409, title: "The gateway lacks keys that the root names" },
  TRUST_TARGETS_FULL: { status: 409, title: "Signed targets can name no further image" },
  APPROVAL_DECIDED: { status: 409, title: "This has been decided, or its time is over" },
  DIAGNOSTIC_RULES_FULL: { status: 409, title: "There are as many rules as there can be" },
  POLICIES_FULL: { status: 409, title: "There are as many policies as there can be" },
  COMMAND_NOT_QUEUED: { status: 409, title: "The command is on its way already, or over" },
  WEBHOOKS_FULL: { status: 409, title: "There are as many webhooks as there can be" },
  WEBHOOK_INACTIVE: { status: 409, title: "The webhook is out of use" },
  DIAGNOSTIC_ENDED: { status: 409, title: "The diagnostic request has ended already" },
  CAMPAIGN_STATE: { status: 409, title: "The campaign is not in a state that allows this" },
  CAMPAIGNS_FULL: { status: 409, title: "There are as many active campaigns as there can be" },
  CAMPAIGN_CHANGED: { status: 409, title: "The campaign has changed since it was read" },
  PACKAGE_WITHDRAWN: { status: 410, title: "The package holds an image that was archived" },
  PACKAGE_EXPIRED: { status: 410, title: "The package's download has expired" },
  PRECONDITION_FAILED: { status: 412, title: "The file is not the one that the request is about" },
  BODY_TOO_LARGE: { status: 413, title: "The body is over its limit" },
  FIRMWARE_TOO_LARGE: { status: 413, title: "The image is over the size limit" },
  MEDIA_TYPE_UNSUPPORTED: { status: 415, title: "The media type is not supported here" },
  RANGE_NOT_SATISFIABLE: { status: 416, title: "The range is outside the file" },
  VCI_DUPLICATE_ECU: { status: 422, title: "An ECU id appears more than once" },
  VCI_DUPLICATE_ZONE: { status: 422, title: "A zonal gateway id appears more than once" },
  VCI_ZONE_UNKNOWN: {
    status: 422,
    title: "An ECU names a zonal gateway that the VCI does not list",
  },
  VCI_MANIFEST_INVALID: {
    status: 422,
    title: "The VCI's manifest is not this vehicle's proof of it",
  },
  CSR_MALFORMED: { status: 422, title: "The certificate request can't be read" },
  CSR_SIGNATURE_INVALID: { status: 422, title: "The certificate request is not signed by its key" },
  CSR_ALGORITHM_UNSUPPORTED: { status: 422, title: "Keys of this kind are not certified here" },
  CSR_SUBJECT_MISMATCH: {
    status: 422,
    title: "The certificate request is for somebody else than who may have one",
  },
  CSR_KEY_COMPROMISED: {
    status: 422,
    title: "A certificate for this key was revoked because the key is compromised",
  },
  CERTIFICATE_MALFORMED: { status: 422, title: "This is no vehicle's certificate" },
  FIRMWARE_EMPTY: { status: 422, title: "The image is empty" },
  OPERATOR_NAME_INVALID: { status: 422, title: "Nobody can be called so" },
  PASSWORD_UNSUITABLE: { status: 422, title: "The password is too easy, too short or too long" },
  SCOPE_UNKNOWN: { status: 422, title: "No route has this scope" },
  FIRMWARE_CHAIN_INVALID: { status: 422, title: "min_current_version must be below the version" },
  TIME_ZONE_UNKNOWN: { status: 422, title: "There is no such time zone" },
  TAGS_TARGET_MISSING: { status: 422, title: "Neither a filter nor vehicles are named" },
  FILTER_INVALID: { status: 422, title: "The filter can't be read" },
  CAMPAIGN_INCOMPLETE: { status: 422, title: "The campaign lacks what it needs to be submitted" },
  CAMPAIGN_WAVES_INVALID: { status: 422, title: "The campaign's waves make no whole" },
  CAMPAIGN_TIMES_INVALID: { status: 422, title: "The campaign has no time to run" },
  CAMPAIGN_RELEASE_UNAVAILABLE: { status: 422, title: "A release of the campaign can't be had" },
  CAMPAIGN_RELEASE_OPEN: {
    status: 422,
    title: "A release of the campaign is offered to every vehicle on its channel",
  },
  CAMPAIGN_RELEASES_CONFLICT: { status: 422, title: "Two releases are for one ECU" },
  CAMPAIGN_EMPTY: { status: 422, title: "No vehicle can be in this campaign" },
  FIRMWARE_REQUIRES_INVALID: {
    status: 422,
    title: "A release can't require this of the rest of the vehicle",
  },
  SBOM_INVALID: { status: 422, title: "This is no CycloneDX document that can be kept" },
  METADATA_REFUSED: { status: 422, title: "Clients would refuse this metadata" },
  VCI_NONCE_REPEATED: { status: 422, title: "The VCI has the nonce of the one before" },
  POLICY_INVALID: { status: 422, title: "No vehicle could follow this policy" },
  COMMAND_INVALID: { status: 422, title: "The command can't be given like this" },
  DIAGNOSTIC_RULE_INVALID: { status: 422, title: "No request can fit this rule" },
  WEBHOOK_URL_REFUSED: { status: 422, title: "Events are not sent to this URL" },
  WEBHOOK_SECRET_INVALID: { status: 422, title: "This is no secret for a webhook" },
  SCRIPT_INVALID: { status: 422, title: "The diagnostic script can't be carried out" },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: "Another request was made with this idempotency key",
  },
  DIAGNOSTIC_INVALID: { status: 422, title: "The diagnostic request is not well-formed UDS" },
  ECU_LOCKED: { status: 423, title: "The ECU is in somebody's diagnostic session" },
  CERTIFICATES_TOO_MANY: { status: 429, title: "The vehicle has had too many certificates today" },
  DOWNLOADS_TOO_MANY: { status: 429, title: "The vehicle has too many downloads open" },
  STREAMS_TOO_MANY: { status: 429, title: "The operator has too many event streams open" },
  LOGIN_LOCKED: { status: 429, title: "Too many logins with this name have failed" },
  LOGINS_TOO_MANY: { status: 429, title: "Too many logins from this address" },
  HEADERS_TOO_LARGE: { status: 431, title: "The request's headers are over their limit" },
  INTERNAL: { status: 500, title: "The gateway failed" },
  BLOB_CORRUPT: { status: 500, title: "A stored file no longer matches its hash" },
  ISSUER_UNAVAILABLE: { status: 503, title: "This gateway can't issue certificates of this kind" },
  FLEET_BUSY: { status: 503, title: "The fleet is being counted for too many right now" },
  LOGIN_BUSY: { status: 503, title: "Too many passwords are being checked right now" },
  OIDC_UNAVAILABLE: { status: 503, title: "The issuer of ID tokens can't be reached" },
  STOPPING: { status: 503, title: "The gateway is stopping; try again shortly" },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;

/** RFC 9457 problem document, as every error answer carries it. */
export const Problem = Type.Object({
  type: Type.String({ description: "urn:latticeway:problem: and the code" }),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String({ description: "Stable code, see docs/errors.md" }),
  detail: Type.Optional(Type.String()),
  reason: Type.Optional(
    Type.String({ description: "Code of why metadata is refused, see docs/errors.md" }),
  ),
  errors: Type.Optional(
    Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
      description: "Each place where the request does not fit its schema",
    }),
  ),
  position: Type.Optional(
    Type.Object(
      {
        offset: Type.Integer({ description: "In UTF-16 units, from 0 on" }),
        line: Type.Integer({ description: "From 1 on" }),
        column: Type.Integer({ description: "In UTF-16 units, from 1 on" }),
      },
      { description: "Where in a filter the mistake is" },
    ),
  ),
  retry_after_s: Type.Optional(
    Type.Integer({ description: "The same may be granted by then; also in Retry-After" }),
  ),
  trace_id: Type.Optional(Type.String({ description: "Find this request in the gateway's log" })),
});
export type Problem = Static<typeof Problem>;

/** An error with a stable code, thrown anywhere in the gateway and answered as a problem document. */
export class ProblemError extends Error {
  readonly code: ProblemCode;
  readonly errors: Problem["errors"];
  /** The code behind this one, where it stands for many. */
  readonly reason: string | undefined;
  /** In a text that can't be read. */
  readonly position: Problem["position"];
  /** When the same may be granted. */
  readonly retry_after_s: Problem["retry_after_s"];

  constructor(code: ProblemCode, detail?: string, errors?: Problem["errors"], reason?: string) {
    super(detail ?? problems[code].title);
    this.name = "ProblemError";
    this.code = code;
    this.errors = errors;
    this.reason = reason;
  }
}
