import Type, { type Static } from "typebox";
import { EcuId, EcuType, Timestamp, Uuid } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { findService, Sid } from "#protocol/uds/service.ts";
import { roles } from "#server/http/access.ts";
import { didServices } from "./request-part.ts";

export const effects = ["allow", "approve", "deny"] as const;
/** From the mildest on. `approve`: when another operator says so, too. */
export type Effect = (typeof effects)[number];

const closed = { additionalProperties: false } as const;
const range = (digits: number, description: string, example: string) =>
  Type.Optional(
    Type.String({
      pattern: `^[0-9A-Fa-f]{${digits}}(-[0-9A-Fa-f]{${digits}})?$`,
      description,
      examples: [example],
    }),
  );

const RequestPattern = Type.Object(
  {
    service: range(2, "Service id, or from-to; hex", "22"),
    sub_function: range(2, "Sub-function without the suppress bit, or from-to; hex", "01-03"),
    did: range(4, "Data identifier, or from-to; hex", "F190-F19F"),
    rid: range(4, "Routine identifier, or from-to; hex", "FF00"),
  },
  { ...closed, minProperties: 1 },
);
export type RequestPattern = Static<typeof RequestPattern>;

const list = <Item extends Type.TSchema>(item: Item, maxItems: number, description: string) =>
  Type.Optional(Type.Array(item, { minItems: 1, maxItems, description }));

/** A rule as an admin writes it. What it leaves out it says of all. */
export const RuleContent = Type.Object(
  {
    position: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      description: "The lowest one that fits decides; of equal ones the older",
    }),
    effect: Type.Enum(effects),
    description: Type.String({ minLength: 1, maxLength: 256 }),
    roles: list(Type.Enum(roles), roles.length, "Operators with one of these roles"),
    operators: list(Type.String({ minLength: 1, maxLength: 64 }), 100, "Operators by name"),
    vehicles: list(
      Type.String({ pattern: "^([A-Za-z0-9._-]{1,64}\\*?|\\*)$" }),
      1000,
      "Vehicle ids, or how they begin, with * behind",
    ),
    ecu_ids: list(EcuId, 256, "ECUs by id"),
    ecu_types: list(EcuType, 256, "ECUs by type"),
    requests: list(RequestPattern, 64, "Requests that fit one of these"),
  },
  {
    ...closed,
    examples: [
      {
        position: 1,
        effect: "allow",
        description: "Workshops read identification",
        roles: ["diagnostician"],
        requests: [{ service: "22", did: "F190-F19F" }],
      },
    ],
  },
);
export type RuleContent = Static<typeof RuleContent>;

/** A rule that is in force. */
export const Rule = Type.Object({
  rule_id: Uuid,
  ...RuleContent.properties,
  changed_by: Type.String(),
  changed_at: Timestamp,
});
export type Rule = Static<typeof Rule>;

/**
 * Refuses patterns that no request can fit: a typing error in a rule that denies would go unseen.
 * @throws ProblemError DIAGNOSTIC_RULE_INVALID
 */
export function checkRule({ requests = [] }: RuleContent): void {
  for (const pattern of requests) {
    for (const text of Object.values(pattern)) {
      const { from, to } = readRange(text);
      if (from > to) throw invalid(`${text} ends before it begins`);
    }
    const { service, sub_function, did, rid } = pattern;
    if (did !== undefined && rid !== undefined) throw invalid("no request has both DID and RID");
    const services = service === undefined ? { from: 0, to: 0xff } : readRange(service);
    const some = (has: (sid: number) => boolean) => {
      for (let sid = services.from; sid <= services.to; sid++) if (has(sid)) return true;
      return false;
    };
    const hasSub = (sid: number) =>
      findService(sid)?.subFunctions !== undefined || !findService(sid);
    if (sub_function !== undefined && !some(hasSub))
      throw invalid(`${service} has no sub-function`);
    if (
      did !== undefined &&
      !some((sid) => didServices.has(sid) && (sub_function === undefined || hasSub(sid)))
    )
      throw invalid(`${service} with ${did} is no request`);
    if (rid !== undefined && !some((sid) => sid === Sid.routineControl))
      throw invalid(`${service} has no RID`);
  }
}

/** `22` or `10-3E`: inclusive. */
export function readRange(text: string): { from: number; to: number } {
  const [from = "", to = from] = text.split("-");
  return { from: Number.parseInt(from, 16), to: Number.parseInt(to, 16) };
}

function invalid(detail: string): ProblemError {
  return new ProblemError("DIAGNOSTIC_RULE_INVALID", detail);
}
