import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  endTransfer,
  negative,
  positive,
  Session,
  u16Bytes,
  type EcuRuntime,
  type EcuService,
  type SubFunctionRule,
} from "./runtime.ts";

/** Server timing told to the tester (ISO 14229-2): P2 in ms, P2* in steps of 10 ms. */
export const P2_SERVER_MS = 50;
export const P2_STAR_SERVER_MS = 5_000;

/** A session other than the default one ends after this long without a request. */
const S3_SERVER_MS = 5_000;

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
  const { session, lastActivity } = ecu.now;
  if (session === Session.default || ecu.clock.now() - lastActivity < S3_SERVER_MS) return;
  await enterSession(ecu, Session.default);
}

async function enterSession(ecu: EcuRuntime, session: Session): Promise<void> {
  delete ecu.now.unlocked;
  delete ecu.now.seed;
  ecu.now.session = session;
  if (session === Session.default) ecu.now.dtcSetting = true;
  await endTransfer(ecu);
}
