/** Payload types of ISO 13400-2, table "Overview of DoIP payload types". */
export const PayloadType = {
  headerNack: 0x0000,
  vehicleIdentificationRequest: 0x0001,
  vehicleIdentificationRequestEid: 0x0002,
  vehicleIdentificationRequestVin: 0x0003,
  vehicleAnnouncement: 0x0004,
  routingActivationRequest: 0x0005,
  routingActivationResponse: 0x0006,
  aliveCheckRequest: 0x0007,
  aliveCheckResponse: 0x0008,
  entityStatusRequest: 0x4001,
  entityStatusResponse: 0x4002,
  powerModeRequest: 0x4003,
  powerModeResponse: 0x4004,
  diagnosticMessage: 0x8001,
  diagnosticAck: 0x8002,
  diagnosticNack: 0x8003,
} as const;
export type PayloadType = (typeof PayloadType)[keyof typeof PayloadType];

/** Generic header negative acknowledgement codes. */
export const HeaderNack = {
  incorrectPattern: 0x00,
  unknownPayloadType: 0x01,
  messageTooLarge: 0x02,
  outOfMemory: 0x03,
  invalidPayloadLength: 0x04,
} as const;
export type HeaderNack = (typeof HeaderNack)[keyof typeof HeaderNack];

export const ActivationType = {
  default: 0x00,
  regulatory: 0x01,
  centralSecurity: 0xe0,
} as const;

/** Routing activation response codes; the socket is closed after every one below 0x10. */
export const ActivationCode = {
  unknownSource: 0x00,
  noSocketFree: 0x01,
  otherSourceOnSocket: 0x02,
  sourceActiveElsewhere: 0x03,
  authenticationMissing: 0x04,
  confirmationRejected: 0x05,
  unsupportedType: 0x06,
  tlsRequired: 0x07,
  activated: 0x10,
  confirmationPending: 0x11,
} as const;

/** Diagnostic message negative acknowledgement codes. */
export const DiagnosticNack = {
  invalidSource: 0x02,
  unknownTarget: 0x03,
  messageTooLarge: 0x04,
  outOfMemory: 0x05,
  targetUnreachable: 0x06,
  unknownNetwork: 0x07,
  transportError: 0x08,
} as const;

const activationText = new Map<number, string>([
  [ActivationCode.unknownSource, "unknown source address"],
  [ActivationCode.noSocketFree, "no socket free"],
  [ActivationCode.otherSourceOnSocket, "another source address is active on this socket"],
  [ActivationCode.sourceActiveElsewhere, "source address is active on another socket"],
  [ActivationCode.authenticationMissing, "authentication missing"],
  [ActivationCode.confirmationRejected, "confirmation rejected"],
  [ActivationCode.unsupportedType, "unsupported activation type"],
  [ActivationCode.tlsRequired, "TLS required"],
  [ActivationCode.activated, "routing activated"],
  [ActivationCode.confirmationPending, "routing activated, confirmation pending"],
]);

const nackText = new Map<number, string>([
  [DiagnosticNack.invalidSource, "invalid source address"],
  [DiagnosticNack.unknownTarget, "unknown target address"],
  [DiagnosticNack.messageTooLarge, "diagnostic message too large"],
  [DiagnosticNack.outOfMemory, "out of memory"],
  [DiagnosticNack.targetUnreachable, "target unreachable"],
  [DiagnosticNack.unknownNetwork, "unknown network"],
  [DiagnosticNack.transportError, "transport protocol error"],
]);

/** A routing activation response code in words. */
export function activationCodeText(code: number): string {
  return activationText.get(code) ?? reserved(code);
}

/** A diagnostic message NACK code in words. */
export function diagnosticNackText(code: number): string {
  return nackText.get(code) ?? reserved(code);
}

function reserved(code: number): string {
  return `reserved code 0x${code.toString(16).padStart(2, "0")}`;
}
