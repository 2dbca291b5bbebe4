import { timingSafeEqual } from "node:crypto";
import { Nrc } from "#protocol/uds/nrc.ts";
import { SEED_LENGTH } from "#protocol/uds/security-key.ts";
import { Sid } from "#protocol/uds/service.ts";
import { endDisallowed } from "./active-functions.ts";
import {
  negative,
  nonDefaultSessions,
  positive,
  type EcuRuntime,
  type EcuService,
  type Outcome,
  type SubFunctionRule,
} from "./runtime.ts";

/** 27: seed and key; each level has a delay after too many wrong keys, which survives a reset. */
export const securityAccess: EcuService = {
  sid: Sid.securityAccess,
  sessions: nonDefaultSessions,
  minLength: 2,
  subFunctions: (ecu) => {
    const { security_levels } = ecu.config.definition;
    return new Map<number, SubFunctionRule>(
      security_levels.flatMap(({ level }) => [
        [level, {}],
        [level + 1, {}],
      ]),
    );
  },
  handle(ecu, request) {
    const subFunction = (request[1] ?? 0) & 0x7f;
    const data = request.subarray(2);
    return subFunction % 2 === 1
      ? requestSeed(ecu, subFunction, data)
      : sendKey(ecu, subFunction - 1, data);
  },
};

function requestSeed(ecu: EcuRuntime, level: number, data: Uint8Array): Outcome {
  if (data.length > 0) return negative(Nrc.incorrectMessageLength);
  // Whatever seed was out before, of this level or another, is void.
  delete ecu.now.seed;
  if (ecu.now.unlocked === level) return positive(level, new Uint8Array(SEED_LENGTH));
  if (ecu.clock.now() < (ecu.now.delayUntil.get(level) ?? 0)) {
    return negative(Nrc.requiredTimeDelayNotExpired);
  }
  const bytes = ecu.random(SEED_LENGTH);
  // An all-zero seed means unlocked, so chance may not make one.
  if (bytes.every((byte) => byte === 0)) bytes[0] = 1;
  ecu.now.seed = { level, bytes };
  return positive(level, bytes);
}

async function sendKey(ecu: EcuRuntime, level: number, key: Uint8Array): Promise<Outcome> {
  const { seed } = ecu.now;
  if (seed?.level !== level) return negative(Nrc.requestSequenceError);
  const expected = ecu.keyOf(level, seed.bytes);
  if (key.length !== expected.length) return negative(Nrc.incorrectMessageLength);
  delete ecu.now.seed;
  if (timingSafeEqual(key, expected)) {
    ecu.now.unlocked = level;
    // One level at a time: another one is locked by it.
    endDisallowed(ecu);
    await rememberWrongKeys(ecu, level, 0);
    return positive(level + 1);
  }
  return wrongKey(ecu, level);
}

async function wrongKey(ecu: EcuRuntime, level: number): Promise<Outcome> {
  const rule = ecu.config.definition.security_levels.find((each) => each.level === level);
  const { max_attempts, delay_ms } = rule ?? { max_attempts: 1, delay_ms: 0 };
  const wrong = Math.min((ecu.store.current.wrong_keys?.[level] ?? 0) + 1, max_attempts);
  // Counted before the answer: switching the ECU off in between must not save the attempt.
  await rememberWrongKeys(ecu, level, wrong);
  if (wrong < max_attempts) return negative(Nrc.invalidKey);
  ecu.now.delayUntil.set(level, ecu.clock.now() + delay_ms);
  return negative(Nrc.exceededNumberOfAttempts);
}

async function rememberWrongKeys(ecu: EcuRuntime, level: number, count: number): Promise<void> {
  const { wrong_keys = {} } = ecu.store.current;
  if ((wrong_keys[level] ?? 0) === count) return;
  await ecu.store.save({ ...ecu.store.current, wrong_keys: { ...wrong_keys, [level]: count } });
}
