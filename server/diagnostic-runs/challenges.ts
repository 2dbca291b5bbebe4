import { ProblemError } from "#protocol/api/problem.ts";
import { ByteError } from "#protocol/bytes/reader.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import type { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import {
  AuthenticationResult,
  AuthenticationTask,
  decodeCertificateVerified,
  encodeProofOfOwnership,
  encodeVerifyCertificate,
  MAX_CHALLENGE,
  MIN_CHALLENGE,
  NO_COMMUNICATION_CONFIGURATION,
} from "#protocol/uds/authentication-messages.ts";
import { POSITIVE_OFFSET, Sid } from "#protocol/uds/service.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import { KeyError, type KeyAsk, type KeyProvider } from "./keys.ts";
import { mayProve } from "./script.ts";
import { recheckScript } from "./script-permission.ts";
import { scriptById, type ScriptRow } from "./script-queries.ts";

type Challenge = Extract<DiagnosticEvent, { kind: "challenge" }>;

export interface ChallengeDeps {
  db: Db;
  audit: AuditLog;
  mqtt: Mqtt;
  keys: KeyProvider;
  log: Log;
}

export interface Challenges {
  /**
   * Answers a vehicle that needs a key or a proof; that goes on when this resolves.
   * @returns false when it carries out no script that may ask for it
   */
  take(vin: string, challenge: Challenge): Promise<boolean>;
}

/** A provider that takes longer has failed. */
const PROVIDER_MS = 10_000;
/** Far more than any script needs; a vehicle must not have keys computed without end. */
const MAX_OPEN = 8;

export function createChallenges(deps: ChallengeDeps): Challenges {
  const { db, log } = deps;
  const open = new Map<string, number>();

  async function answer(script: ScriptRow, challenge: Challenge): Promise<void> {
    const { vin, script_id } = script;
    open.set(vin, (open.get(vin) ?? 0) + 1);
    try {
      await prove(deps, script, challenge);
    } finally {
      const left = (open.get(vin) ?? 1) - 1;
      if (left > 0) open.set(vin, left);
      else open.delete(vin);
    }
    log.debug({ vehicle: vin, script_id }, "A challenge was answered");
  }

  return {
    async take(vin, challenge) {
      const script = await scriptById(db, challenge.script_id);
      const isRun = script?.status === "sent" || script?.status === "running";
      if (script?.vin !== vin || !isRun || script.ecu_id !== challenge.ecu_id) return false;
      if (script.cancelled_by !== null || !mayProve(script.script, challenge)) return false;
      if ((open.get(vin) ?? 0) >= MAX_OPEN) return false;
      answer(script, challenge).catch((error: unknown) =>
        log.error({ err: error, vehicle: vin }, "A challenge could not be answered"),
      );
      return true;
    },
  };
}

/** Computes a proof and sends it, or why there is none. Neither seed nor key nor proof is noted. */
async function prove(deps: ChallengeDeps, script: ScriptRow, challenge: Challenge): Promise<void> {
  const { mqtt, log } = deps;
  const { script_id, challenge_id, service, level } = challenge;
  const { vin } = script;
  const message: DiagnosticControl = { kind: "proof", script_id, challenge_id };
  try {
    const request = await within(PROVIDER_MS, proofOf(deps, script, challenge));
    mqtt.send(vin, "diagnostics/control", { ...message, request: toHex(request) });
  } catch (error) {
    // What a provider says of its failure may hold what it failed with.
    const known = error instanceof KeyError || error instanceof ProblemError ? error : undefined;
    const code = known?.code ?? "KEY_UNAVAILABLE";
    const why = known?.message ?? "the key provider failed";
    log.warn({ vehicle: vin, script_id, service, level, code }, "No proof for a challenge");
    mqtt.send(vin, "diagnostics/control", { ...message, error: `${code}: ${why}`.slice(0, 256) });
  }
}

async function proofOf(
  deps: ChallengeDeps,
  script: ScriptRow,
  challenge: Challenge,
): Promise<Uint8Array> {
  const { audit, keys } = deps;
  const { vin, ecu_id, script_id } = script;
  const { service, level = 0, challenge_id } = challenge;
  const isKey = service === Sid.securityAccess;
  const begins = !isKey && challenge.response === "";
  const prefix = isKey
    ? [service, level + 1]
    : [service, begins ? task.verifyCertificateUnidirectional : task.proofOfOwnership];
  // Rules may have changed since the script began.
  const { operator, ecu } = await recheckScript(deps, script, [Uint8Array.from(prefix)]);
  const { diagnostic_level } = operator;
  if (diagnostic_level === "none") throw unavailable("the operator may do no diagnostics");
  await audit.append({
    actor: "gateway",
    action: "script.step",
    vin,
    ecu_id,
    subject: script_id,
    request: Uint8Array.from(prefix),
    detail: { operator: operator.name, challenge_id, level: challenge.level },
  });
  const ask: KeyAsk = { vin, ...ecu, operator: operator.name, diagnostic_level };
  const response = Buffer.from(challenge.response, "hex");
  if (isKey) return keyFor(keys, ask, level, response);
  return begins ? certificateFor(keys, ask) : ownershipFor(keys, ask, response);
}

const task = AuthenticationTask;

/** `67 level seed` → `27 level+1 key` (ISO 14229-1, 10.4). */
async function keyFor(
  keys: KeyProvider,
  ask: KeyAsk,
  level: number,
  response: Buffer,
): Promise<Uint8Array> {
  const seed = response.subarray(2);
  const isSeed = response[0] === Sid.securityAccess + POSITIVE_OFFSET && response[1] === level;
  if (!isSeed || seed.length === 0) throw unavailable("the ECU gave no seed");
  const key = await keys.securityKey({ ...ask, level, seed });
  return Buffer.concat([Uint8Array.of(Sid.securityAccess, level + 1), key]);
}

/** 29 01: shows the certificate. */
async function certificateFor(keys: KeyProvider, ask: KeyAsk): Promise<Uint8Array> {
  const { certificate } = await keys.authentication(ask);
  return encodeVerifyCertificate({
    task: task.verifyCertificateUnidirectional,
    communicationConfiguration: NO_COMMUNICATION_CONFIGURATION,
    certificate,
    challenge: new Uint8Array(),
  });
}

/** `69 01 11 challenge` → 29 03: signs the challenge, and nothing that could be anything else. */
async function ownershipFor(keys: KeyProvider, ask: KeyAsk, response: Buffer): Promise<Uint8Array> {
  const { result, challenge } = verified(response);
  if (result !== AuthenticationResult.ownershipNecessary) {
    throw unavailable("the ECU wants no proof of ownership");
  }
  if (challenge.length < MIN_CHALLENGE || challenge.length > MAX_CHALLENGE) {
    throw unavailable(`the ECU's challenge has ${challenge.length} bytes`);
  }
  const { sign } = await keys.authentication(ask);
  const proof = await sign(challenge);
  return encodeProofOfOwnership({ proof, ephemeralPublicKey: new Uint8Array() });
}

function verified(response: Buffer) {
  const isOf = response[0] === 0x29 + POSITIVE_OFFSET && response[1] === 0x01;
  if (!isOf) throw unavailable("the ECU did not accept the certificate");
  try {
    return decodeCertificateVerified(response);
  } catch (error) {
    if (error instanceof ByteError) throw unavailable("the ECU's answer can't be read");
    throw error;
  }
}

const unavailable = (why: string) => new KeyError("KEY_UNAVAILABLE", why);

async function within<Value>(ms: number, work: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(unavailable("the key provider took too long")), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
