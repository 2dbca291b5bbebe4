/** The negative response codes that code refers to (ISO 14229-1, annex A). */
export const Nrc = {
  generalReject: 0x10,
  serviceNotSupported: 0x11,
  subFunctionNotSupported: 0x12,
  incorrectMessageLength: 0x13,
  responseTooLong: 0x14,
  busyRepeatRequest: 0x21,
  conditionsNotCorrect: 0x22,
  requestSequenceError: 0x24,
  noResponseFromSubnetComponent: 0x25,
  requestOutOfRange: 0x31,
  securityAccessDenied: 0x33,
  invalidKey: 0x35,
  exceededNumberOfAttempts: 0x36,
  requiredTimeDelayNotExpired: 0x37,
  uploadDownloadNotAccepted: 0x70,
  transferDataSuspended: 0x71,
  generalProgrammingFailure: 0x72,
  wrongBlockSequenceCounter: 0x73,
  responsePending: 0x78,
  subFunctionNotSupportedInActiveSession: 0x7e,
  serviceNotSupportedInActiveSession: 0x7f,
} as const;

export interface NrcEntry {
  code: number;
  name: string;
  /** What it means and what to try, for the person who reads it. */
  explanation: string;
}

type Row = readonly [code: number, name: string, explanation: string];

const rows: readonly Row[] = [
  [0x10, "generalReject", "The ECU refused without a reason. Check its log or supplier documents."],
  [0x11, "serviceNotSupported", "This ECU does not know the service. Check the service id."],
  [0x12, "subFunctionNotSupported", "The ECU knows the service but not this sub-function."],
  [
    0x13,
    "incorrectMessageLengthOrInvalidFormat",
    "The request is too short, too long or malformed. Compare its bytes with the service's format.",
  ],
  [
    0x14,
    "responseTooLong",
    "The answer does not fit into one message. Ask for fewer items at once.",
  ],
  [0x21, "busyRepeatRequest", "The ECU is busy with something else. Send the request again."],
  [
    0x22,
    "conditionsNotCorrect",
    "The vehicle or the ECU is not in a state that allows this (session, ignition, running update).",
  ],
  [
    0x24,
    "requestSequenceError",
    "A step that has to come before is missing. Send the steps of the procedure in their order.",
  ],
  [
    0x25,
    "noResponseFromSubnetComponent",
    "A component behind the ECU did not answer. Check that it has power and a connection.",
  ],
  [
    0x26,
    "failurePreventsExecutionOfRequestedAction",
    "A stored failure prevents this. Read the DTCs (19 02), repair, clear and try again.",
  ],
  [
    0x31,
    "requestOutOfRange",
    "The DID, RID, address or value is not known here or not allowed. Check the identifier.",
  ],
  [0x33, "securityAccessDenied", "The ECU is locked. Unlock it with security access (27) first."],
  [0x34, "authenticationRequired", "Authenticate (29) before this request."],
  [0x35, "invalidKey", "The key does not match the seed. Check the key's secret and level."],
  [0x36, "exceededNumberOfAttempts", "Too many wrong keys. Wait until the delay is over."],
  [
    0x37,
    "requiredTimeDelayNotExpired",
    "The delay after wrong keys is running. Wait and try again.",
  ],
  [0x38, "secureDataTransmissionRequired", "Send this request secured (84)."],
  [0x39, "secureDataTransmissionNotAllowed", "Send this request without securing it."],
  [0x3a, "secureDataVerificationFailed", "The secured request could not be verified."],
  [0x50, "certificateInvalidTimePeriod", "The certificate is not valid now. Check its dates."],
  [0x51, "certificateInvalidSignature", "The certificate's signature is wrong."],
  [0x52, "certificateInvalidChainOfTrust", "The ECU does not trust the certificate's issuer."],
  [0x53, "certificateInvalidType", "The certificate is of the wrong type for this."],
  [0x54, "certificateInvalidFormat", "The certificate's format is not understood."],
  [0x55, "certificateInvalidContent", "The certificate's content is not as demanded."],
  [0x56, "certificateInvalidScope", "The certificate does not cover this ECU or vehicle."],
  [0x57, "certificateInvalid", "The certificate was revoked."],
  [0x58, "ownershipVerificationFailed", "The proof of the private key is wrong."],
  [0x59, "challengeCalculationFailed", "The ECU could not calculate its challenge. Try again."],
  [0x5a, "settingAccessRightsFailed", "The ECU could not set the access rights."],
  [0x5b, "sessionKeyCreationFailed", "The ECU could not create a session key."],
  [0x5c, "configurationDataUsageFailed", "The ECU could not use the configuration data."],
  [0x5d, "deAuthenticationFailed", "The ECU could not end the authentication."],
  [
    0x70,
    "uploadDownloadNotAccepted",
    "The ECU cannot take the transfer. Check address, length and whether the memory was erased.",
  ],
  [0x71, "transferDataSuspended", "The transfer was stopped by a fault, or the data are too many."],
  [
    0x72,
    "generalProgrammingFailure",
    "Writing the memory failed. Erase it and start the transfer anew; repeated, the memory is bad.",
  ],
  [0x73, "wrongBlockSequenceCounter", "A block is missing or came twice. Start the transfer anew."],
  [
    0x78,
    "requestCorrectlyReceivedResponsePending",
    "The ECU works on it and answers later. Wait, do not send it again.",
  ],
  [
    0x7e,
    "subFunctionNotSupportedInActiveSession",
    "Not in this session. Change the session (10) first, usually to extended or programming.",
  ],
  [
    0x7f,
    "serviceNotSupportedInActiveSession",
    "Not in this session. Change the session (10) first, usually to extended or programming.",
  ],
  [0x81, "rpmTooHigh", "The engine turns too fast. Lower the speed and try again."],
  [0x82, "rpmTooLow", "The engine turns too slowly. Raise the speed and try again."],
  [0x83, "engineIsRunning", "The engine is running. Stop it and try again."],
  [0x84, "engineIsNotRunning", "The engine is not running. Start it and try again."],
  [0x85, "engineRunTimeTooLow", "The engine has not run long enough. Wait and try again."],
  [0x86, "temperatureTooHigh", "A temperature is too high. Let it cool down."],
  [0x87, "temperatureTooLow", "A temperature is too low. Warm it up."],
  [0x88, "vehicleSpeedTooHigh", "The vehicle is too fast. Stop it and try again."],
  [0x89, "vehicleSpeedTooLow", "The vehicle is too slow for this."],
  [0x8a, "throttlePedalTooHigh", "The accelerator is pressed too far."],
  [0x8b, "throttlePedalTooLow", "The accelerator is not pressed far enough."],
  [0x8c, "transmissionRangeNotInNeutral", "Shift to neutral and try again."],
  [0x8d, "transmissionRangeNotInGear", "Engage a gear and try again."],
  [0x8f, "brakeSwitchNotClosed", "Press the brake and try again."],
  [0x90, "shifterLeverNotInPark", "Shift to park and try again."],
  [0x91, "torqueConverterClutchLocked", "The torque converter clutch is locked."],
  [0x92, "voltageTooHigh", "The supply voltage is too high. Check the charger."],
  [0x93, "voltageTooLow", "The supply voltage is too low. Charge the battery."],
  [0x94, "resourceTemporarilyNotAvailable", "A resource is in use. Try again later."],
];

const byCode = new Map<number, NrcEntry>(
  rows.map(([code, name, explanation]) => [code, { code, name, explanation }]),
);

/** All codes with a name of their own, in ascending order. */
export const nrcTable: readonly NrcEntry[] = [...byCode.values()];

/** Name and explanation of any code; a range that only the manufacturer knows says so. */
export function describeNrc(code: number): NrcEntry {
  const known = byCode.get(code);
  if (known !== undefined) return known;
  if (code >= 0x95 && code <= 0xef) {
    const explanation = "A condition of the vehicle is not met. See the manufacturer's documents.";
    return { code, name: "reservedForSpecificConditionsNotCorrect", explanation };
  }
  if (code >= 0xf0 && code <= 0xfe) {
    const explanation = "A condition that the manufacturer defined. See its documents.";
    return { code, name: "vehicleManufacturerSpecificConditionsNotCorrect", explanation };
  }
  return { code, name: "reserved", explanation: "The standard reserves this code." };
}
