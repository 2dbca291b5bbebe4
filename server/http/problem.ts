import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { problems, ProblemError, type Problem, type ProblemCode } from "#protocol/api/problem.ts";

/** Answers every error of a route or hook as a problem document, and so an unknown route. */
export function answerProblems(http: FastifyInstance): void {
  http.setErrorHandler(answerError);
  http.setNotFoundHandler((request, reply) =>
    sendProblem(
      request,
      reply,
      new ProblemError("ROUTE_UNKNOWN", `${request.method} ${request.url}`),
    ),
  );
}

/** Answers that are part of a client's normal course, such as "there is no newer root". */
const EXPECTED: ReadonlySet<ProblemCode> = new Set([
  "METADATA_UNKNOWN",
  "PACKAGE_NOTHING_OUTDATED",
]);

/** Answers an error as an RFC 9457 problem document with a stable code. */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  const problem = asProblem(error);
  const { status } = problems[problem.code];
  if (status === 503) {
    // A state that was foreseen: what is wrong is in the message, not in the stack.
    request.log.warn({ code: problem.code }, `Request not served: ${problem.message}`);
  } else if (status >= 500) {
    request.log.error({ err: error, code: problem.code }, "Request failed");
  } else {
    const level = EXPECTED.has(problem.code) ? "debug" : "warn";
    request.log[level]({ code: problem.code }, `Request refused: ${problem.message}`);
  }
  return sendProblem(request, reply, problem);
}

function sendProblem(request: FastifyRequest, reply: FastifyReply, error: ProblemError) {
  const { status, title } = problems[error.code];
  const body: Problem = {
    type: `urn:latticeway:problem:${error.code}`,
    title,
    status,
    code: error.code,
    ...(status < 500 && error.message !== title ? { detail: error.message } : {}),
    ...(error.reason ? { reason: error.reason } : {}),
    ...(error.errors ? { errors: error.errors } : {}),
    ...(error.position ? { position: error.position } : {}),
    ...(error.retry_after_s ? { retry_after_s: error.retry_after_s } : {}),
    trace_id: request.id,
  };
  if (status === 401) void reply.header("www-authenticate", 'Bearer realm="latticeway"');
  // It would stay as weak as it is.
  if (error.code === "TLS_PROFILE_TOO_WEAK") void reply.header("connection", "close");
  const seconds = error.retry_after_s ?? (status === 429 || status === 503 ? 5 : undefined);
  if (seconds !== undefined) void reply.header("retry-after", String(seconds));
  return reply
    .code(status)
    .header("content-type", "application/problem+json")
    .send(JSON.stringify(body));
}

/** Fastify's own refusals, by its error code. */
const fastifyCodes: Record<string, ProblemCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "BODY_TOO_LARGE",
  FST_ERR_CTP_INVALID_JSON_BODY: "REQUEST_MALFORMED",
  FST_ERR_CTP_EMPTY_JSON_BODY: "REQUEST_MALFORMED",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "REQUEST_MALFORMED",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "MEDIA_TYPE_UNSUPPORTED",
  FST_INVALID_MULTIPART_CONTENT_TYPE: "MEDIA_TYPE_UNSUPPORTED",
  FST_PARTS_LIMIT: "REQUEST_INVALID",
  FST_FILES_LIMIT: "REQUEST_INVALID",
  FST_FIELDS_LIMIT: "REQUEST_INVALID",
  FST_PROTO_VIOLATION: "REQUEST_INVALID",
  FST_ERR_BAD_URL: "REQUEST_INVALID",
  FST_ERR_MAX_PARAM_LENGTH: "REQUEST_INVALID",
  FST_ERR_REOPENED_CLOSE_SERVER: "STOPPING",
  JSON_MALFORMED: "REQUEST_MALFORMED",
};

/** What to do, where Fastify's own words repeat the title. */
const hints: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "a body is sent as Content-Type application/json",
  FST_INVALID_MULTIPART_CONTENT_TYPE: "an upload is sent as Content-Type multipart/form-data",
};

function asProblem(error: FastifyError): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error.validation) {
    const errors = error.validation.map(({ instancePath, message }) => ({
      path: `${error.validationContext ?? "body"}${instancePath}`,
      message: message ?? "does not fit",
    }));
    return new ProblemError(
      "REQUEST_INVALID",
      errors[0] && `${errors[0].path} ${errors[0].message}`,
      errors,
    );
  }
  const code = fastifyCodes[error.code];
  if (code) return new ProblemError(code, hints[error.code] ?? error.message);
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new ProblemError("REQUEST_INVALID", error.message);
  }
  return new ProblemError("INTERNAL");
}
