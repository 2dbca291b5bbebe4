import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  negative,
  nonDefaultSessions,
  positive,
  type EcuService,
  type SubFunctionRule,
} from "./runtime.ts";

/** enableRxAndTx, enableRxAndDisableTx, disableRxAndEnableTx, disableRxAndTx. */
const controls = new Map<number, SubFunctionRule>([0x00, 0x01, 0x02, 0x03].map((id) => [id, {}]));

/** Bits of the communicationType (ISO 14229-1, annex B.1); the upper four name the subnet. */
const NORMAL = 0x01;
const NETWORK_MANAGEMENT = 0x02;
const RESERVED = 0x0c;

/** All that the ECU is connected to, or the one network that the request came by: it has one. */
const subnets: readonly number[] = [0x0, 0xf];

/** 28: whether the ECU sends and takes what is not diagnostics; the default session allows all. */
export const communicationControl: EcuService = {
  sid: Sid.communicationControl,
  sessions: nonDefaultSessions,
  minLength: 2,
  subFunctions: () => controls,
  handle(ecu, request) {
    if (request.length !== 3) return negative(Nrc.incorrectMessageLength);
    const type = request[2] ?? 0;
    const isKnown = (type & (NORMAL | NETWORK_MANAGEMENT)) !== 0 && (type & RESERVED) === 0;
    if (!isKnown || !subnets.includes(type >> 4)) return negative(Nrc.requestOutOfRange);
    const control = (request[1] ?? 0) & 0x7f;
    const state = { receives: control <= 0x01, sends: control % 2 === 0 };
    const { communication } = ecu.now;
    if ((type & NORMAL) !== 0) communication.normal = state;
    if ((type & NETWORK_MANAGEMENT) !== 0) communication.networkManagement = state;
    return positive(control);
  },
};
