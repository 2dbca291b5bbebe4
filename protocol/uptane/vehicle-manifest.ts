import type { KeyObject } from "node:crypto";
import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";
import type { Signer } from "#crypto/signing-keys.ts";
import { canonicalJson } from "./canonical-json.ts";
import { keyRecord, trustKeys, type TrustedKeys } from "./key.ts";
import { isSignedBy, signBytes, Signature } from "./signature.ts";

const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });
const closed = { additionalProperties: false };

/** What one ECU says of itself. */
const EcuReport = Type.Object(
  {
    hardware_id: text(256),
    version: text(64),
    release_counter: Type.Optional(Type.Integer({ minimum: 0 })),
    /** The image that runs, where the vehicle knows it; a factory's is often not known. */
    image: Type.Optional(
      Type.Object(
        {
          length: Type.Integer({ minimum: 0 }),
          sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }),
        },
        closed,
      ),
    ),
    /** Empty for none. */
    attacks_detected: Type.String({ maxLength: 1024 }),
  },
  closed,
);
export type EcuReport = Static<typeof EcuReport>;

const SignedVehicleManifest = Type.Object(
  {
    _type: Type.Literal("vehicle-version-manifest"),
    vin: text(64),
    /** Fresh in each; the next director targets answer to it. */
    nonce: Type.String({ pattern: "^[0-9a-f]{32}$" }),
    collected_at: text(64),
    ecus: Type.Record(Type.String({ pattern: "^[A-Za-z0-9._-]{1,64}$" }), EcuReport, {
      ...closed,
      minProperties: 1,
      maxProperties: 256,
    }),
  },
  closed,
);
export type SignedVehicleManifest = Static<typeof SignedVehicleManifest>;

/** The vehicle version manifest of Uptane 2.1, as the VMG signs it: which images run in the ECUs. */
export const VehicleManifest = Type.Object(
  {
    signed: SignedVehicleManifest,
    signatures: Type.Array(Signature, { minItems: 1, maxItems: 4 }),
  },
  closed,
);
export type VehicleManifest = Static<typeof VehicleManifest>;

const checkManifest = Compile(VehicleManifest);

/** A manifest that proves nothing: malformed, not signed by the vehicle, or about something else. */
export class VehicleManifestError extends Error {
  readonly code = "VCI_MANIFEST_INVALID";

  constructor(detail: string) {
    super(`vehicle version manifest: ${detail}`);
    this.name = "VehicleManifestError";
  }
}

/** Signs a manifest with the VMG's key, ECDSA or ML-DSA (TAP 21). */
export async function signVehicleManifest(
  signed: Omit<SignedVehicleManifest, "_type">,
  signer: Signer,
): Promise<VehicleManifest> {
  const manifest = { _type: "vehicle-version-manifest" as const, ...signed };
  return { signed: manifest, signatures: await signBytes(canonicalJson(manifest), [signer]) };
}

/**
 * Demands that the key, that of the vehicle's certificate, has signed the manifest. Signatures of
 * other keys say nothing here.
 * @returns what was signed
 * @throws VehicleManifestError VCI_MANIFEST_INVALID
 */
export function verifyVehicleManifest(
  manifest: unknown,
  publicKey: KeyObject,
): SignedVehicleManifest {
  if (!checkManifest.Check(manifest)) {
    const [first] = checkManifest.Errors(manifest);
    throw new VehicleManifestError(`${first?.instancePath ?? ""} ${first?.message ?? ""}`);
  }
  const [key] = trustedKeys(publicKey).values();
  const own = manifest.signatures.filter(({ keyid }) => keyid === key?.keyId);
  const [signature] = own;
  if (key === undefined || signature === undefined) {
    throw new VehicleManifestError("not signed by the key of the vehicle's certificate");
  }
  if (own.length > 1) throw new VehicleManifestError("two signatures of one key");
  if (!isSignedBy(canonicalForm(manifest.signed), key, signature)) {
    throw new VehicleManifestError("its signature is wrong");
  }
  return manifest.signed;
}

function canonicalForm(signed: SignedVehicleManifest): Buffer {
  try {
    return canonicalJson(signed);
  } catch (error) {
    throw new VehicleManifestError((error as Error).message);
  }
}

function trustedKeys(publicKey: KeyObject): TrustedKeys {
  try {
    return trustKeys([keyRecord(publicKey)]);
  } catch (error) {
    throw new VehicleManifestError((error as Error).message);
  }
}

/** What a VCI says of the vehicle, in the words of a manifest. */
export interface ReportedVehicle {
  vin: string;
  ecus: readonly { ecu_id: string; hardware_id: string; version: string }[];
}

/**
 * Demands that a manifest is about the vehicle of the VCI around it: the same VIN and the same ECUs
 * with the same hardware and versions.
 * @throws VehicleManifestError VCI_MANIFEST_INVALID
 */
export function checkReports({ vin, ecus }: SignedVehicleManifest, vci: ReportedVehicle): void {
  if (vin !== vci.vin) throw new VehicleManifestError(`of ${vin}, not of ${vci.vin}`);
  const reported = new Map(Object.entries(ecus));
  for (const { ecu_id, hardware_id, version } of vci.ecus) {
    const report = reported.get(ecu_id);
    if (report === undefined) throw new VehicleManifestError(`ECU ${ecu_id} is missing`);
    if (report.hardware_id !== hardware_id || report.version !== version) {
      const signed = `${report.hardware_id} ${report.version}`;
      throw new VehicleManifestError(`ECU ${ecu_id} is ${signed}, not ${hardware_id} ${version}`);
    }
    reported.delete(ecu_id);
  }
  const [stranger] = reported.keys();
  if (stranger !== undefined) throw new VehicleManifestError(`ECU ${stranger} is not in the VCI`);
}
