import { createPrivateKey } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  carCa,
  carIdentity,
  issueTesterCertificate,
  loadTesterIdentity,
  testerCa,
  type TesterCertificateRequest,
} from "#crypto/diagnostic-pki.ts";
import { ensureDevelopmentPki } from "#crypto/pki.ts";
import type { TlsIdentity } from "#crypto/tls.ts";
import {
  beginAuthentication,
  chainOf,
  type TesterCredentials,
} from "#protocol/uds/authentication.ts";
import type { RequestOrigin } from "#vmg-sim/ecu/ecu.ts";
import type { AuthenticationOptions } from "#vmg-sim/ecu/tester-trust.ts";
import { ecuConfig, type EcuRig } from "./ecu-rig.ts";

const DAY = 86_400_000;

/** The certificates of testers, and of the car that the ECU of `ecuRig` is in. */
export interface TesterPki {
  folder: string;
  car: readonly TlsIdentity[];
  carRoots: string;
  /** For an ECU that trusts them. */
  options: AuthenticationOptions;
  /** Issues a certificate of that name and loads it. */
  tester(name: string, request?: Partial<TesterCertificateRequest>): Promise<TesterCredentials>;
  remove(): Promise<void>;
}

export async function testerPki(): Promise<TesterPki> {
  const folder = await mkdtemp(join(tmpdir(), "latticeway-testers-"));
  await ensureDevelopmentPki(folder);
  const car = [
    await carIdentity(folder, ecuConfig.vin),
    await carIdentity(folder, ecuConfig.vin, "ml-dsa-65"),
  ];
  return {
    folder,
    car,
    carRoots: await carCa(folder),
    options: { testerCa: await testerCa(folder), car },
    async tester(name, request = {}) {
      const algorithm = request.algorithm ?? "ecdsa-p256";
      const wanted = { role: "write", lifetimeMs: DAY, ...request, name, algorithm } as const;
      await issueTesterCertificate(folder, wanted);
      return credentials(await loadTesterIdentity(folder, name, algorithm));
    },
    remove: () => rm(folder, { recursive: true }),
  };
}

export function credentials({ chain, key }: TlsIdentity): TesterCredentials {
  return { certificate: chainOf(chain), privateKey: createPrivateKey(key) };
}

/** Goes through 29 01 (or 02) and 03; resolves with the last answer, in hex. */
export async function authenticate(
  rig: EcuRig,
  tester: TesterCredentials,
  origin: Partial<RequestOrigin> = {},
): Promise<string> {
  const { request, prove } = beginAuthentication(tester);
  const [challenged = ""] = await rig.ask(request, origin);
  if (challenged.startsWith("7f")) return challenged;
  const [answer = ""] = await rig.ask(prove(Buffer.from(challenged, "hex")), origin);
  return answer;
}
