import pino from "pino";
import { Compile } from "typebox/compile";
import { expect, onTestFinished } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { systemClock, type Clock } from "#protocol/doip/clock.ts";
import { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import { DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";
import { testFolder } from "#test/helpers/folder.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import type { AgentEvent } from "#vmg-sim/vmg/event.ts";
import { systemPace } from "#vmg-sim/vmg/pace.ts";
import { createRemoteDiagnostics } from "#vmg-sim/vmg/remote-diagnostics.ts";
import { vehicleConditions } from "#vmg-sim/vmg/vehicle-conditions.ts";
import { hardwareNetwork } from "./hardware-network.ts";

export interface RemoteRigOptions {
  behaviours?: Record<string, EcuBehaviour>;
  folder?: string;
  verifiesUpdates?: boolean;
  /** Instead of what the configuration demands of single requests. */
  requestInterlocks?: Record<string, Interlock[]>;
  /** Of the ECUs, too. */
  clock?: Clock;
}

const validResponse = Compile(DiagnosticResponse);
const validEvent = Compile(DiagnosticEvent);

/** The VMG's remote diagnostics on real simulated hardware, with what it would tell the gateway. */
export async function remoteRig({
  behaviours = {},
  folder = testFolder(),
  verifiesUpdates = true,
  requestInterlocks,
  clock = systemClock,
}: RemoteRigOptions = {}) {
  const { network, hardware } = await hardwareNetwork("VMG-001", behaviours, clock);
  const config = loadVehicleConfig({});
  const conditions = vehicleConditions(config.vehicle_conditions);
  const responses: { response: DiagnosticResponse; durable: boolean }[] = [];
  const pending: string[] = [];
  const told: DiagnosticEvent[] = [];
  const events: AgentEvent[] = [];
  const busy = new Set<string>();
  /** Nothing is acknowledged before it. */
  const offline: { current: Promise<void> | undefined } = { current: undefined };
  const watchers = new Set<() => void>();
  const wake = () => {
    for (const look of watchers) look();
  };
  /** Resolves with the first that `find` finds, now or later. */
  const found = <Value>(find: () => Value | undefined) =>
    new Promise<Value>((resolve) => {
      const look = () => {
        const value = find();
        if (value === undefined) return;
        watchers.delete(look);
        resolve(value);
      };
      watchers.add(look);
      look();
    });
  const tell = async (event: DiagnosticEvent) => {
    expect(validEvent.Errors(event)).toEqual([]);
    told.push(event);
    wake();
  };
  const diagnostics = await createRemoteDiagnostics({
    ...config.diagnostics,
    interlocks: {
      ...config.diagnostics.interlocks,
      ...(requestInterlocks && { requests: requestInterlocks }),
    },
    network,
    conditions,
    folder,
    clock,
    pace: systemPace,
    log: pino({ level: "silent" }),
    isBusy: (ecuId) => busy.has(ecuId),
    verifiesUpdates,
    respond(response, durable) {
      expect(validResponse.Errors(response)).toEqual([]);
      if (response.pending) pending.push(response.request_id);
      else responses.push({ response, durable });
      wake();
    },
    report: tell,
    deliver: async (event) => {
      await tell(event);
      await offline.current;
    },
    onEvent(event) {
      events.push(event);
      wake();
    },
  });
  onTestFinished(() => diagnostics.stop());
  return {
    diagnostics,
    network,
    hardware,
    conditions,
    busy,
    offline,
    responses,
    /** Requests whose ECU has asked for more time. */
    pending,
    events,
    /** What was put on `diagnostics/events`. */
    told,
    /** Waits until so many responses have been sent. */
    async responded(count: number) {
      await found(() => (responses.length >= count ? true : undefined));
      return responses.map(({ response }) => response);
    },
    /** Resolves with the event of this kind that is the `nth`, counted from 1. */
    heard: <Kind extends DiagnosticEvent["kind"]>(kind: Kind, nth = 1) =>
      found(
        () =>
          told.filter(
            (event): event is Extract<DiagnosticEvent, { kind: Kind }> => event.kind === kind,
          )[nth - 1],
      ),
    /** What an ECU says, asked past remote diagnostics; in hex. */
    async ask(ecuId: string, request: string) {
      const ecu = network.findEcu(ecuId);
      const response = await ecu?.link.request(ecu.logical_address, Buffer.from(request, "hex"));
      return Buffer.from(response ?? [])
        .toString("hex")
        .toUpperCase();
    },
  };
}
