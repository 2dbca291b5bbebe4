import type { VehicleTiming, DiagnosticErrorCode } from "#protocol/mqtt/diagnostics.ts";
import { diagnosticErrors } from "#protocol/mqtt/diagnostics.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";
import { isProgramming } from "#protocol/uds/programming.ts";
import { negativeResponse } from "#protocol/uds/response.ts";
import { violatedInterlock, type InterlockRules, type Violation } from "./interlocks.ts";
import type { VehicleConditions } from "./vehicle-conditions.ts";
import type { NetworkEcu, VehicleNetwork } from "./vehicle-network.ts";

/** A remote request that the VMG does not carry out, with the code that the gateway is told. */
export class RemoteRefusedError extends Error {
  readonly code: DiagnosticErrorCode;

  constructor(code: DiagnosticErrorCode, message: string = diagnosticErrors[code]) {
    super(message);
    this.name = "RemoteRefusedError";
    this.code = code;
  }
}

/** The vehicle is doing something that the request must not happen in. */
export class InterlockError extends Error {
  readonly interlock: Interlock;
  /** What the ECU would answer. */
  readonly response: Uint8Array;

  constructor({ interlock, nrc }: Violation, request: Uint8Array) {
    super(`the vehicle is not ${interlock}`);
    this.name = "InterlockError";
    this.interlock = interlock;
    this.response = negativeResponse(request[0] ?? 0, nrc);
  }
}

export interface RemoteAccessDeps {
  network: VehicleNetwork;
  conditions: VehicleConditions;
  interlocks: InterlockRules;
  /** May this ECU not be disturbed, because an update is writing it? */
  isBusy: (ecuId: string) => boolean;
  /**
   * The VMG verifies what is installed. An ECU behind it believes the director alone, so nobody may
   * program one past the VMG.
   */
  verifiesUpdates: boolean;
}

/** What somebody far away may ask of the ECUs, whichever way it came. */
export interface RemoteAccess {
  /** @throws RemoteRefusedError for what is never passed on, or not while an update is writing the ECU */
  admit(ecuIds: readonly string[], request: Uint8Array): void;
  /**
   * To be called right before the request is sent: the vehicle may have moved off since it came.
   * @throws RemoteRefusedError, InterlockError
   */
  check(ecuIds: readonly string[], request: Uint8Array): void;
}

export function remoteAccess(deps: RemoteAccessDeps): RemoteAccess {
  const { network, conditions, interlocks, isBusy, verifiesUpdates } = deps;
  const access: RemoteAccess = {
    admit(ecuIds, request) {
      if (verifiesUpdates && isProgramming(request))
        throw new RemoteRefusedError("PROGRAMMING_REFUSED");
      if (ecuIds.some((id) => isBusy(id))) {
        throw new RemoteRefusedError("VEHICLE_BUSY", "an update is being installed");
      }
    },
    check(ecuIds, request) {
      const updating = network.ecus.some(({ ecu_id }) => isBusy(ecu_id));
      const situation = { ...conditions.current, updating };
      const violation = violatedInterlock(interlocks, request, situation);
      if (violation !== undefined) throw new InterlockError(violation, request);
      access.admit(ecuIds, request);
    },
  };
  return access;
}

export interface RemoteAnswer {
  response: Uint8Array;
  /** Set when the VMG answered in the ECU's place. */
  interlock?: Interlock;
}

export interface RemoteRequestOptions {
  timeoutMs: number;
  signal: AbortSignal;
  /** Called right before each sending, after all is found to be in order. */
  beforeSend?: (() => void) | undefined;
  onTiming?: ((timing: VehicleTiming) => void) | undefined;
}

/**
 * Asks one ECU for somebody far away.
 * @throws RemoteRefusedError, UdsLinkError, the signal's reason
 */
export async function askRemotely(
  access: RemoteAccess,
  { link, logical_address, ecu_id }: NetworkEcu,
  request: Uint8Array,
  { beforeSend, ...options }: RemoteRequestOptions,
): Promise<RemoteAnswer> {
  try {
    const check = () => {
      access.check([ecu_id], request);
      beforeSend?.();
    };
    const response = await link.request(logical_address, request, {
      ...options,
      beforeSend: check,
    });
    return { response };
  } catch (error) {
    if (!(error instanceof InterlockError)) throw error;
    return { response: error.response, interlock: error.interlock };
  }
}
