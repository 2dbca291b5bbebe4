import { createPrivateKey, X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { issueTesterCertificate, loadTesterIdentity } from "#crypto/diagnostic-pki.ts";
import { PkiError } from "#crypto/pki-error.ts";
import { signDer } from "#crypto/signature-algorithm.ts";
import { chainOf } from "#protocol/uds/authentication.ts";
import type { DiagnosticLevel } from "#protocol/uds/level.ts";
import { demoSecrets, hmacKey } from "#protocol/uds/security-key.ts";

/** For which ECU, and who is asking. */
export interface KeyAsk {
  vin: string;
  ecu_id: string;
  ecu_type: string;
  operator: string;
  /** How far the operator may go. */
  diagnostic_level: DiagnosticLevel;
}

/** Where the keys of ECUs come from: an ES module of the vehicle's maker, whose default export it is. */
export interface KeyProvider {
  /** The key that unlocks a level (27, the odd sub-function), from the ECU's seed. */
  securityKey(ask: KeyAsk & { level: number; seed: Uint8Array }): Promise<Uint8Array>;
  /** Who is asking (29): DER certificates, the own one first, and what signs an ECU's challenge. */
  authentication(ask: KeyAsk): Promise<{
    certificate: Uint8Array;
    sign(challenge: Uint8Array): Promise<Uint8Array>;
  }>;
}

/** A key that can't be had; its message tells nothing secret. */
export class KeyError extends Error {
  readonly code: "KEY_UNAVAILABLE" | "KEY_PLUGIN_INVALID";

  constructor(code: KeyError["code"], message: string) {
    super(message);
    this.name = "KeyError";
    this.code = code;
  }
}

export interface KeySettings {
  /** Path of an ES module; empty: the keys of the simulated vehicle. */
  plugin: string;
  mode: "development" | "production";
  certsDir: string;
}

/** @throws KeyError KEY_PLUGIN_INVALID */
export async function loadKeys({ plugin, mode, certsDir }: KeySettings): Promise<KeyProvider> {
  if (plugin !== "") return loadPlugin(plugin);
  return mode === "production" ? noKeys : developmentKeys(certsDir);
}

async function loadPlugin(path: string): Promise<KeyProvider> {
  const invalid = (why: string) => new KeyError("KEY_PLUGIN_INVALID", `${path}: ${why}`);
  const loaded = await import(pathToFileURL(resolve(path)).href).catch((error: unknown) => {
    throw invalid(error instanceof Error ? error.message : String(error));
  });
  const provider = (loaded as { default?: Partial<KeyProvider> }).default;
  for (const name of ["securityKey", "authentication"] as const) {
    if (typeof provider?.[name] !== "function") throw invalid(`its default export has no ${name}`);
  }
  return provider as KeyProvider;
}

const missing = () =>
  Promise.reject(new KeyError("KEY_UNAVAILABLE", "diagnostics.key_plugin names no key provider"));
/** The demonstration's secrets are public: production has none rather than those. */
const noKeys: KeyProvider = { securityKey: missing, authentication: missing };

const TESTER_DAYS = 1;
const DAY = 86_400_000;

function developmentKeys(certsDir: string): KeyProvider {
  const keyOf = hmacKey(demoSecrets);
  return {
    async securityKey({ level, seed }) {
      if (!Object.hasOwn(demoSecrets, level)) {
        throw new KeyError("KEY_UNAVAILABLE", `there is no key for level ${level}`);
      }
      return keyOf(level, seed);
    },
    async authentication({ diagnostic_level: role }) {
      const { chain, key } = await testerIdentity(certsDir, role);
      const privateKey = createPrivateKey(key);
      return {
        certificate: chainOf(chain),
        sign: async (challenge) => signDer(challenge, privateKey),
      };
    },
  };
}

/** A certificate that lets an ECU grant no more than the operator may do. */
async function testerIdentity(certsDir: string, role: DiagnosticLevel) {
  const name = `gateway-${role}`;
  try {
    const kept = await loadTesterIdentity(certsDir, name).catch(() => undefined);
    const ends = kept ? Date.parse(new X509Certificate(kept.chain).validTo) : 0;
    if (kept && ends - Date.now() > DAY / 24) return kept;
    await issueTesterCertificate(certsDir, {
      name,
      role,
      algorithm: "ecdsa-p256",
      lifetimeMs: TESTER_DAYS * DAY,
      replace: true,
    });
    return await loadTesterIdentity(certsDir, name);
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    throw new KeyError("KEY_UNAVAILABLE", `there is no tester's certificate (${error.code})`);
  }
}
