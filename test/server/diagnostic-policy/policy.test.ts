import { describe, expect, it } from "vitest";
import { decide, type Ask } from "#server/diagnostic-policy/policy.ts";
import type { Effect, RequestPattern, Rule } from "#server/diagnostic-policy/rule.ts";
import { ruleOf } from "./rule-of.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const brake = { ecu_id: "ECU_001", ecu_type: "brake" };
const lights = { ecu_id: "ECU_003", ecu_type: "lights" };

function ask(request: string, rest: Partial<Ask> = {}): Ask {
  const operator = { name: "alice", role: "diagnostician", diagnostic_level: "control" } as const;
  return { operator, vin: "VMG-001", ecus: [brake], requests: [hex(request)], ...rest };
}

const as = (operator: Partial<Ask["operator"]>) => ({
  operator: { ...ask("").operator, ...operator },
});
const effectOf = (rules: readonly Rule[], it: Ask) => decide(rules, it).effect;

describe("without a rule, the level decides", () => {
  it.each<[string, Ask["operator"]["diagnostic_level"], Effect]>([
    ["22 F190", "none", "deny"],
    ["22 F190", "read", "allow"],
    ["19 02 FF", "read", "allow"],
    ["2E 0100 01", "read", "deny"],
    ["2E 0100 01", "write", "allow"],
    ["11 01", "write", "deny"],
    ["31 01 0205", "write", "deny"],
    ["31 01 0205", "control", "allow"],
    ["23 14 00 01", "write", "deny"],
    ["2C 01 F300 F190 01 04", "write", "deny"],
    ["2A 01 10", "write", "deny"],
    ["35 00 11 00 01", "write", "deny"],
    ["BA 01", "write", "deny"],
    ["", "write", "deny"],
  ])("%s at level %s: %s", (request, diagnostic_level, effect) => {
    expect(effectOf([], ask(request, as({ diagnostic_level })))).toBe(effect);
  });

  it("says which level is needed, of all requests the highest", () => {
    const requests = [hex("22F190"), hex("2E010001")];
    const verdict = decide([], ask("", { requests, ...as({ diagnostic_level: "read" }) }));
    expect(verdict).toEqual({
      effect: "deny",
      reason: "2E 0100 to ECU_001 of VMG-001 needs the level write, the operator has read",
      rule: undefined,
      level: "write",
    });
    expect(decide([], ask("", { requests: [hex("2E010001"), hex("1101")] })).level).toBe("control");
  });
});

describe("a rule", () => {
  it("counts by its order, the first that fits", () => {
    const allow = ruleOf({ effect: "allow", requests: [{ service: "11" }] });
    const deny = ruleOf({ effect: "deny", requests: [{ service: "10-14" }] });
    expect(effectOf([allow, deny], ask("11 01"))).toBe("allow");
    expect(effectOf([deny, allow], ask("11 01"))).toBe("deny");
    expect(effectOf([deny, allow], ask("15"))).toBe("allow");
  });

  it("may give what the level does not, but nothing to the level none", () => {
    const rules = [ruleOf({ effect: "allow", requests: [{ service: "11", sub_function: "03" }] })];
    expect(effectOf(rules, ask("11 03", as({ diagnostic_level: "read" })))).toBe("allow");
    expect(effectOf(rules, ask("11 01", as({ diagnostic_level: "read" })))).toBe("deny");
    const { effect, reason } = decide(rules, ask("11 03", as({ diagnostic_level: "none" })));
    expect([effect, reason]).toEqual(["deny", "alice has the level none"]);
  });

  it("is named by its verdict", () => {
    const rule = ruleOf({ effect: "deny", position: 7, description: "No resets" });
    const { reason, rule: by } = decide([rule], ask("11 01"));
    expect(reason).toBe(`rule 7 "No resets" (${rule.rule_id}) denies 11 01 to ECU_001 of VMG-001`);
    expect(by).toBe(rule);
  });

  it.each<[string, Partial<Rule>, Partial<Ask>, boolean]>([
    ["of a role", { roles: ["admin"] }, {}, false],
    ["of a role", { roles: ["admin"] }, as({ role: "admin" }), true],
    ["of an operator", { operators: ["bob"] }, {}, false],
    ["of an operator", { operators: ["bob", "alice"] }, {}, true],
    ["of a vehicle", { vehicles: ["VMG-00"] }, {}, false],
    ["of a vehicle", { vehicles: ["VMG-001"] }, {}, true],
    ["of vehicles", { vehicles: ["VMG-01*", "VMG-00*"] }, {}, true],
    ["of vehicles", { vehicles: ["VMG-01*"] }, {}, false],
    ["of every vehicle", { vehicles: ["*"] }, {}, true],
    ["of an ECU", { ecu_ids: ["ECU_002"] }, {}, false],
    ["of an ECU", { ecu_ids: ["ECU_001"] }, {}, true],
    ["of a type", { ecu_types: ["lights"] }, {}, false],
    ["of a type", { ecu_types: ["brake"] }, {}, true],
    ["of an ECU and another type", { ecu_ids: ["ECU_001"], ecu_types: ["lights"] }, {}, false],
  ])("%s %j fits %j: %s", (_name, scope, rest, isFit) => {
    const rules = [ruleOf({ effect: "deny", ...scope })];
    expect(effectOf(rules, ask("22 F190", rest))).toBe(isFit ? "deny" : "allow");
  });
});

const secret: RequestPattern = { service: "22", did: "F190-F19F" };
const denying = (pattern: RequestPattern) => [ruleOf({ effect: "deny", requests: [pattern] })];
const allowing = (pattern: RequestPattern) => [ruleOf({ effect: "allow", requests: [pattern] })];

describe("a denied data identifier", () => {
  it.each<[string, string, Effect]>([
    ["is denied", "22 F190", "deny"],
    ["is denied at the range's end", "22 F19F", "deny"],
    ["leaves its neighbours alone", "22 F18F", "allow"],
    ["leaves its neighbours alone", "22 F1A0", "allow"],
    ["is denied among others", "22 0100 F195 0101", "deny"],
    ["is denied with a byte left over behind others", "22 0100 F1", "deny"],
    ["is denied to a request without any", "22", "deny"],
    ["is denied to half of one", "22 F1", "deny"],
    ["is not written", "2E F190 00", "allow"],
    ["is not defined as another", "2C 01 F300 F190 01 11", "deny"],
    ["is not defined as another behind a harmless one", "2C 01 F300 0100 01 02 F191 01 01", "deny"],
    ["is not defined by a request that is cut", "2C 01 F300 0100 01 02 F1", "deny"],
    ["is not defined by one without sources", "2C 01 F300", "deny"],
    ["is not defined with the suppress bit", "2C 81 F300 F190 01 11", "deny"],
    ["does not hinder other definitions", "2C 01 F300 0100 01 02", "allow"],
    ["is not seen in a position and a size", "2C 01 F300 0100 F1 90", "allow"],
    ["is not defined by its address", "2C 02 F300 14 00001000 04", "deny"],
    ["is not read under a defined identifier", "22 F300", "deny"],
    ["is not read under a defined identifier", "22 F200", "deny"],
    ["is not read periodically", "2A 01 10", "deny"],
    ["is not read from memory", "23 14 00001000 04", "deny"],
    ["is not uploaded", "35 00 14 00001000 04", "deny"],
    ["is not read from a file", "38 04 0001 61 00", "deny"],
    ["is not read in a secured message", "84 00", "deny"],
    ["is not read upon an event", "86 03 02 0100 22 F1 90", "deny"],
    ["does not hinder writing to memory", "3D 14 00001000 01 00", "allow"],
    ["does not hinder clearing definitions", "2C 03 F300", "allow"],
    ["does not hinder what is nothing of it", "31 01 0205", "allow"],
    ["does not hinder what is nothing of it", "19 02 FF", "allow"],
  ])("%s: %s", (_name, request, effect) => {
    expect(effectOf(denying(secret), ask(request))).toBe(effect);
  });

  it("is kept from a later rule that allows to read, however it is read", () => {
    const rules = [...denying(secret), ...allowing({ service: "22-2C" })];
    expect(effectOf(rules, ask("22 F300"))).toBe("deny");
    expect(effectOf(rules, ask("23 14 00001000 04"))).toBe("deny");
    expect(effectOf(rules, ask("22 0100"))).toBe("allow");
  });

  it("is denied by the first of the rules that say so", () => {
    const [first, second] = [...denying(secret), ...denying({ service: "22" })];
    expect(decide([first, second] as Rule[], ask("22 F300")).rule).toBe(first);
    expect(decide([second, first] as Rule[], ask("22 F300")).rule).toBe(second);
  });

  it("of writing is not written by address or download", () => {
    const rules = denying({ service: "2E", did: "0100" });
    expect(effectOf(rules, ask("3D 14 00001000 01 00"))).toBe("deny");
    expect(effectOf(rules, ask("34 00 14 00001000 01"))).toBe("deny");
    expect(effectOf(rules, ask("23 14 00001000 04"))).toBe("allow");
  });

  it("is not defined, where a rule keeps it for others", () => {
    const rules = denying({ service: "2C", did: "F300-F30F" });
    expect(effectOf(rules, ask("2C 01 F305 0100 01 02"))).toBe("deny");
    expect(effectOf(rules, ask("2C 01 F310 0100 01 02"))).toBe("allow");
  });

  it("of any service is neither read, written nor controlled", () => {
    for (const request of [
      "22 F190",
      "2E F190 00",
      "2F F190 00",
      "24 F190",
      "3D 14 00001000 01 00",
    ]) {
      expect(effectOf(denying({ did: "F190" }), ask(request))).toBe("deny");
    }
  });

  it("is let go by by a rule before it that speaks of the detour", () => {
    const rules = [
      ...allowing({ service: "23" }),
      ...allowing({ did: "F300" }),
      ...denying(secret),
    ];
    expect(effectOf(rules, ask("23 14 00001000 04"))).toBe("allow");
    expect(effectOf(rules, ask("22 F300"))).toBe("allow");
    expect(effectOf(rules, ask("22 F301"))).toBe("deny");
  });
});

describe("what is allowed beyond the level", () => {
  it.each<[RequestPattern, string, Effect]>([
    [{ service: "2E", did: "0100" }, "2E 0100 01", "allow"],
    [{ service: "2E", did: "0100" }, "2E 0101 01", "deny"],
    [{ service: "2E", did: "0100" }, "2E 01", "deny"],
    [{ service: "31", rid: "0205" }, "31 01 0205", "allow"],
    [{ service: "31", rid: "0205" }, "31 01 FF00", "deny"],
    [{ service: "31", rid: "0205" }, "31 01 02", "deny"],
    [{ service: "31", sub_function: "03" }, "31 03", "allow"],
    [{ service: "31", sub_function: "03" }, "31 83 0205", "allow"],
    [{ service: "31", sub_function: "03" }, "31", "deny"],
    [{ service: "BA", sub_function: "01" }, "BA 01", "allow"],
    [{ service: "BA", sub_function: "01" }, "BA 81", "deny"],
    [{ service: "22", did: "F190" }, "2C 01 F300 F190 01 11", "deny"],
    [{ service: "22", did: "F210" }, "2A 01 10", "deny"],
    [{ service: "2A", did: "F210" }, "2A 01 10", "allow"],
    [{ service: "2A", did: "F210" }, "2A 01 10 11", "deny"],
    [{ service: "22" }, "23 14 00001000 04", "deny"],
    [{ service: "00-FF" }, "", "deny"],
  ])("%j: %s: %s", (pattern, request, effect) => {
    expect(effectOf(allowing(pattern), ask(request, as({ diagnostic_level: "read" })))).toBe(
      effect,
    );
  });

  it("is not allowed by a rule that only might fit, and not said to be", () => {
    expect(decide(allowing({ did: "F190" }), ask("22 F300"))).toMatchObject({
      effect: "allow",
      rule: undefined,
    });
  });

  it("is allowed for each identifier by itself", () => {
    const rules = [...allowing({ did: "0100" }), ...denying({ did: "0101" })];
    expect(effectOf(rules, ask("22 0100"))).toBe("allow");
    expect(effectOf(rules, ask("22 0100 0101"))).toBe("deny");
  });
});

describe("a sub-function that is denied", () => {
  it.each<[string, Effect]>([
    ["11 01", "deny"],
    ["11 81", "deny"],
    ["11 02", "allow"],
    ["11", "deny"],
  ])("%s: %s", (request, effect) => {
    expect(effectOf(denying({ service: "11", sub_function: "01" }), ask(request))).toBe(effect);
  });

  it("of any service is none of those that have no sub-function", () => {
    expect(effectOf(denying({ sub_function: "01" }), ask("11 01"))).toBe("deny");
    expect(effectOf(denying({ sub_function: "01" }), ask("14 01 FF FF"))).toBe("allow");
  });

  it("is denied to services that nobody knows when it might be one", () => {
    expect(effectOf(denying({ service: "BA", sub_function: "01" }), ask("BA 81"))).toBe("deny");
  });
});

describe("approval", () => {
  const rules = [ruleOf({ effect: "approve", requests: [{ service: "31", rid: "FF00" }] })];

  it("is wanted by a rule, also where the level would not do", () => {
    expect(effectOf(rules, ask("31 01 FF00"))).toBe("approve");
    expect(effectOf(rules, ask("31 01 FF00", as({ diagnostic_level: "read" })))).toBe("approve");
    expect(effectOf(rules, ask("31 01 FF00", as({ diagnostic_level: "none" })))).toBe("deny");
  });

  it("is wanted for what can't be told, unless that is denied anyway", () => {
    expect(effectOf(rules, ask("31 01"))).toBe("approve");
    expect(effectOf(rules, ask("31 01", as({ diagnostic_level: "read" })))).toBe("deny");
  });

  it("is wanted for the whole when one of the requests wants it, and denial is stricter", () => {
    const requests = [hex("22F190"), hex("3101FF00")];
    expect(effectOf(rules, ask("", { requests }))).toBe("approve");
    const denied = [...rules, ...denying({ service: "11" })];
    expect(effectOf(denied, ask("", { requests: [...requests, hex("1101")] }))).toBe("deny");
  });
});

describe("many ECUs", () => {
  const rules = [ruleOf({ effect: "deny", ecu_types: ["lights"], requests: [{ service: "11" }] })];

  it("must all be allowed", () => {
    expect(effectOf(rules, ask("11 01", { ecus: [brake] }))).toBe("allow");
    expect(effectOf(rules, ask("11 01", { ecus: [brake, lights] }))).toBe("deny");
    expect(effectOf(rules, ask("11 01", { ecus: [lights, brake] }))).toBe("deny");
    expect(decide(rules, ask("11 01", { ecus: [brake, lights] })).reason).toContain("ECU_003");
  });

  it("and none at all are denied, and so is no request", () => {
    expect(effectOf([ruleOf({ effect: "allow" })], ask("11 01", { ecus: [] }))).toBe("deny");
    expect(effectOf([ruleOf({ effect: "allow" })], ask("", { requests: [] }))).toBe("deny");
  });
});
