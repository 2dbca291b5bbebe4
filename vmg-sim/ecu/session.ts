import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { endDisallowed } from "./active-functions.ts";
import { clearDynamicDids } from "./dynamic-did.ts";
import { stopAllPeriodic } from "./periodic.ts";
import {
  allCommunication,
  endTransfer,
  negative,
  positive,
  Session,
  sessionHasExpired,
  u16Bytes,
  type EcuRuntime,
  type EcuService,
  type SubFunctionRule,
} from "./runtime.ts";

/** Server timing told to the tester (ISO 14229-2): P2 in ms, P2* in steps of 10 ms. */
export const P2_SERVER_MS = 50;
export const P2_STAR_SERVER_MS = 5_000;

const sessions = new Map<number, SubFunctionRule>([
  [Session.default, {}],
  // Programming is reached through the extended session, where its preconditions are met.
  [Session.programming, { sessions: [Session.extended, Session.programming] }],
  [Session.extended, {}],
]);

/** 10: every change of session, also to the same one, locks security and ends a transfer. */
export const sessionControl: EcuService = {
  sid: Sid.diagnosticSessionControl,
  minLength: 2,
  subFunctions: () => sessions,
  async handle(ecu, request) {
    if (request.length !== 2) return negative(Nrc.incorrectMessageLength);
    const session = ((request[1] ?? 0) & 0x7f) as Session;
    await enterSession(ecu, session);
    return positive(session, u16Bytes(P2_SERVER_MS), u16Bytes(P2_STAR_SERVER_MS / 10));
  },
};

/** Falls back to the default session when S3 has run out since the last request. */
export async function expireSession(ecu: EcuRuntime): Promise<void> {
  if (sessionHasExpired(ecu)) await enterSession(ecu, Session.default);
}

/**
 * ISO 14229-1, 10: each change locks. From one of the other sessions to another, what 28, 85, 2A, 2F
 * and 31 have begun goes on as far as it is allowed there without a key; the default session ends
 * it all.
 */
async function enterSession(ecu: EcuRuntime, session: Session): Promise<void> {
  const { now } = ecu;
  delete now.unlocked;
  delete now.seed;
  now.session = session;
  endDisallowed(ecu);
  if (session === Session.default) {
    now.testers.clear();
    now.dtcSetting = true;
    now.communication = allCommunication();
    now.controls.clear();
    now.routinesUntil.clear();
    stopAllPeriodic(ecu);
    clearDynamicDids(ecu);
  }
  await endTransfer(ecu);
}
