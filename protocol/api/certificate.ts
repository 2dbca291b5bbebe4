import Type, { type Static } from "typebox";
import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { MAX_CSR_LENGTH } from "#crypto/certificate-request.ts";
import { REVOCATION_REASONS, type RevocationReason } from "#crypto/revocation-list.ts";
import { Sha256, Timestamp, Uuid, VehicleId } from "./identifier.ts";

const Csr = Type.String({
  minLength: 1,
  maxLength: MAX_CSR_LENGTH,
  description:
    "PKCS#10 request in PEM, or its DER in base64. Its common name is the vehicle id; of the rest only the key is taken.",
});

/** Asks for a certificate under a one-time token, or without one under the factory certificate. */
export const EnrollRequest = Type.Object(
  {
    csr: Csr,
    token: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  },
  {
    additionalProperties: false,
    examples: [
      {
        csr: "-----BEGIN CERTIFICATE REQUEST-----\n…\n-----END CERTIFICATE REQUEST-----\n",
        token: "lwe_4N0sQ2m8fXo5V7bKc1TzYhLwPaRdUeGi",
      },
    ],
  },
);

export const RenewRequest = Type.Object(
  { csr: Csr },
  {
    additionalProperties: false,
    examples: [
      { csr: "-----BEGIN CERTIFICATE REQUEST-----\n…\n-----END CERTIFICATE REQUEST-----\n" },
    ],
  },
);

export const IssuedCertificate = Type.Object({
  certificate: Type.String({ description: "The chain in PEM: leaf first, without the root" }),
  fingerprint: Sha256,
  serial: Type.String({ description: "Hex" }),
  not_before: Timestamp,
  not_after: Timestamp,
});
export type IssuedCertificate = Static<typeof IssuedCertificate>;

const RevocationReasonName = Type.Enum(Object.keys(REVOCATION_REASONS) as RevocationReason[], {
  description: "Reasons of RFC 5280 §5.3.1",
});

/** A certificate on record. */
export const CertificateRecord = Type.Object({
  certificate_id: Uuid,
  vin: VehicleId,
  fingerprint: Sha256,
  serial: Type.String(),
  algorithm: Type.Enum(KeyAlgorithm),
  not_before: Timestamp,
  not_after: Timestamp,
  issued_at: Timestamp,
  issued_by: Type.String({
    description: "token:{id}, factory, renewal; external for one that was not issued here",
  }),
  revoked_at: Type.Union([Timestamp, Type.Null()]),
  revoked_by: Type.Union([Type.String(), Type.Null()]),
  revocation_reason: Type.Union([RevocationReasonName, Type.Null()]),
});
export type CertificateRecord = Static<typeof CertificateRecord>;

/** Which certificates to revoke: exactly one of the first three says. */
export const RevokeRequest = Type.Object(
  {
    fingerprint: Type.Optional(Sha256),
    certificate: Type.Optional(
      Type.String({ maxLength: 32_768, description: "PEM; also one that was not issued here" }),
    ),
    vin: Type.Optional(
      Type.String({ ...VehicleId, description: "All certificates on record of this vehicle" }),
    ),
    reason: Type.Optional(RevocationReasonName),
  },
  { additionalProperties: false, examples: [{ vin: "VMG-001", reason: "key_compromise" }] },
);
export type RevokeRequest = Static<typeof RevokeRequest>;

export const RevokeAnswer = Type.Object({
  items: Type.Array(CertificateRecord, {
    description: "Those that the request names; for key_compromise also others for the same keys",
  }),
  warnings: Type.Array(Type.String(), { description: "What was not revoked and may still hold" }),
});
export type RevokeAnswer = Static<typeof RevokeAnswer>;
