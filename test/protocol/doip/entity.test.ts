import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DiagnosticNack, HeaderNack, PayloadType } from "#protocol/doip/codes.ts";
import {
  idleEntity,
  type EntityConfig,
  type EntityEffect,
  type EntityEvent,
  type EntitySocket,
  type Security,
} from "#protocol/doip/entity-state.ts";
import { entityStep } from "#protocol/doip/entity.ts";
import type { DoipMessage } from "#protocol/doip/frame.ts";
import {
  activation,
  active,
  alive,
  config,
  diagnostic,
  message,
  opened,
  OWN,
  rows,
  sockets,
} from "./entity-table.ts";

const events = (socket: number): EntityEvent[] => [
  message(socket, activation()),
  message(socket, diagnostic()),
  message(socket, alive()),
  { kind: "refused", socket, code: HeaderNack.unknownPayloadType, fatal: false },
  { kind: "refused", socket, code: HeaderNack.invalidPayloadLength, fatal: true },
  { kind: "sent", socket },
  { kind: "timer", socket, timer: "initial_inactivity" },
  { kind: "timer", socket, timer: "general_inactivity" },
  { kind: "timer", socket, timer: "alive_check" },
  { kind: "closed", socket },
];

const taken = ["1 stop initial_inactivity", "1 start general_inactivity 300000"];
const centralSecurity: Partial<EntityConfig> = {
  needsTls: () => true,
  admit: (_, security) => (security === "authenticated" ? 0x10 : 0x04),
};

describe("a DoIP entity", () => {
  test.each(rows)("%s", (_, before, event, after, effects) => {
    const step = entityStep(config, before, event);
    expect(step.effects.map(brief)).toEqual(effects);
    expect(step.state).toEqual(after);
  });

  test.each<[string, Partial<EntityConfig>, Security | undefined, string[]]>([
    ["needs TLS and has none", { needsTls: () => true }, undefined, ["1 0006 07", "1 close"]],
    ["needs TLS and has it", { needsTls: () => true }, "tls", [...taken, "1 0006 10"]],
    ["needs TLS, then a certificate", centralSecurity, "tls", [...taken, "1 0006 04", "1 close"]],
    ["has shown its certificate", centralSecurity, "authenticated", [...taken, "1 0006 10"]],
    ["is rejected", { admit: () => 0x05 }, undefined, [...taken, "1 0006 05", "1 close"]],
    ["has to be confirmed", { admit: () => 0x11 }, undefined, [...taken, "1 0006 11", "1 confirm"]],
  ])("a tester that %s", (_, changes, secure, effects) => {
    const socket: EntitySocket = { ...opened, ...(secure && { secure }) };
    const step = entityStep(
      { ...config, ...changes },
      sockets([1, socket]),
      message(1, activation()),
    );
    expect(step.effects.map(brief)).toEqual(effects);
  });

  describe("between an activation and its confirmation", () => {
    const asked: EntityConfig = { ...config, admit: () => 0x11 };
    const { state } = entityStep(asked, sockets([1, opened]), message(1, activation()));

    test("nothing is routed", () => {
      const { effects } = entityStep(asked, state, message(1, diagnostic()));
      expect(effects.map(brief)).toEqual([`1 start general_inactivity 300000`, "1 8003 02"]);
    });

    test("the socket counts as taken", () => {
      const one = { ...asked, maxSockets: 1 };
      const second = entityStep(one, state, { kind: "opened", socket: 2 }).state;
      const { effects } = entityStep(one, second, message(2, activation(0x0e81)));
      expect(effects.map(brief)).toContain("1 0007");
    });

    test("agreement activates, and is not asked for again", () => {
      const agreed = entityStep(asked, state, { kind: "confirmed", socket: 1, granted: true });
      expect(agreed.effects.map(brief)).toEqual(["1 0006 10"]);
      const routed = entityStep(asked, agreed.state, message(1, diagnostic()));
      expect(routed.effects.map(brief)).toContain("1 deliver");
      const again = entityStep(asked, agreed.state, {
        kind: "confirmed",
        socket: 1,
        granted: false,
      });
      expect(again).toEqual({ state: agreed.state, effects: [] });
    });

    test("a refusal closes", () => {
      const refused = entityStep(asked, state, { kind: "confirmed", socket: 1, granted: false });
      expect(refused.effects.map(brief)).toEqual(["1 0006 05", "1 close"]);
      expect(refused.state).toEqual(idleEntity);
    });
  });

  test("TLS stays known of a socket that had to wait for another", () => {
    const tls = { ...config, needsTls: () => true };
    const before = sockets([1, active()], [2, { ...opened, secure: "tls" }]);
    const waits = entityStep(tls, before, message(2, activation())).state;
    const { effects } = entityStep(tls, waits, { kind: "timer", socket: 1, timer: "alive_check" });
    expect(effects.map(brief)).toContain("2 0006 10");
  });

  test.each(events(9))("a socket it has closed is nobody: $kind", (event) => {
    const state = sockets([1, active()]);
    expect(entityStep(config, state, event)).toEqual({ state, effects: [] });
  });

  test("the activation response names both addresses", () => {
    const { effects } = entityStep(config, sockets([1, opened]), message(1, activation()));
    expect(effects).toContainEqual({
      kind: "send",
      socket: 1,
      message: {
        type: PayloadType.routingActivationResponse,
        tester: 0x0e80,
        entity: OWN,
        code: 0x10,
        reserved: 0,
      },
    });
  });

  test("a NACK goes back from the target's address", () => {
    const { effects } = entityStep(
      config,
      sockets([1, active()]),
      message(1, diagnostic(0x0e80, 7)),
    );
    expect(effects).toContainEqual({
      kind: "send",
      socket: 1,
      message: {
        type: PayloadType.diagnosticNack,
        source: 7,
        target: 0x0e80,
        code: DiagnosticNack.unknownTarget,
        previous: new Uint8Array(0),
      },
    });
  });

  test("in any order of events: no source twice, never more active sockets than allowed", () => {
    const anyEvent = fc
      .integer({ min: 1, max: 5 })
      .chain((socket) =>
        fc.constantFrom<EntityEvent>(
          { kind: "opened", socket },
          message(socket, activation(0x0e81)),
          message(socket, activation(0x0e82)),
          message(socket, alive(0x0e81)),
          message(socket, alive(0x0e82)),
          ...events(socket),
        ),
      );
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (sequence) => {
        let state = idleEntity;
        for (const event of sequence) {
          // A socket id is used once at a time, as the socket edge does.
          if (event.kind === "opened" && state.sockets.has(event.socket)) continue;
          const step = entityStep(config, state, event);
          state = step.state;
          const all = [...state.sockets.values()];
          const sources = all.flatMap((one) => (one.phase === "active" ? [one.source] : []));
          expect(new Set(sources).size).toBe(sources.length);
          expect(sources.length).toBeLessThanOrEqual(config.maxSockets);
          for (const one of all) {
            if (one.phase !== "waiting") continue;
            expect(one.on.length).toBeGreaterThan(0);
            for (const id of one.on) {
              expect(state.sockets.get(id)).toMatchObject({ phase: "active", checking: true });
            }
          }
        }
      }),
    );
  });
});

/** Effects in one line each, as the table below writes them. */
function brief(effect: EntityEffect): string {
  switch (effect.kind) {
    case "send":
      return `${effect.socket} ${briefMessage(effect.message)}`;
    case "start_timer":
      return `${effect.socket} start ${effect.timer} ${effect.ms}`;
    case "stop_timer":
      return `${effect.socket} stop ${effect.timer}`;
    case "deliver":
      return `${effect.socket} deliver${effect.acknowledged ? " acknowledged" : ""}`;
    case "confirm":
    case "close":
      return `${effect.socket} ${effect.kind}`;
  }
}

function briefMessage(message: DoipMessage): string {
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  switch (message.type) {
    case PayloadType.routingActivationResponse:
      return `0006 ${hex(message.code)}`;
    case PayloadType.headerNack:
      return `0000 ${hex(message.code)}`;
    case PayloadType.diagnosticNack:
      return `8003 ${hex(message.code)}`;
    default:
      return message.type.toString(16).padStart(4, "0");
  }
}
