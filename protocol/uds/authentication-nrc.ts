/** The negative response codes of the Authentication service (ISO 14229-1, annex A), beside those of all. */
export const AuthenticationNrc = {
  certificateInvalidTimePeriod: 0x50,
  certificateInvalidSignature: 0x51,
  certificateInvalidChainOfTrust: 0x52,
  certificateInvalidType: 0x53,
  certificateInvalidFormat: 0x54,
  certificateInvalidContent: 0x55,
  certificateInvalidScope: 0x56,
  ownershipVerificationFailed: 0x58,
  challengeCalculationFailed: 0x59,
  sessionKeyCreationFailed: 0x5b,
} as const;
