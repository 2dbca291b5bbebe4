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
  authenticationRequired: 0x34,
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
  vehicleSpeedTooHigh: 0x88,
  shifterLeverNotInPark: 0x90,
  voltageTooHigh: 0x92,
  voltageTooLow: 0x93,
  resourceTemporarilyNotAvailable: 0x94,
} as const;

/** A negative response code in words, for the person who reads it. */
export interface NrcEntry {
  code: number;
  name: string;
  /** What the ECU says by it. */
  meaning: string;
  /** What to try next. */
  try: string;
}

type Row = readonly [code: number, name: string, meaning: string, next: string];

const rows: readonly Row[] = [
  [
    0x10,
    "generalReject",
    "The ECU refused and gives no reason.",
    "Read the DTCs (19 02) and the supplier's documents.",
  ],
  [
    0x11,
    "serviceNotSupported",
    "This ECU does not have the service at all.",
    "Check the service id, and that the request goes to the right ECU.",
  ],
  [
    0x12,
    "subFunctionNotSupported",
    "The ECU has the service, but not this sub-function.",
    "Choose one of the ECU's own; some need another session (10) to be there.",
  ],
  [
    0x13,
    "incorrectMessageLengthOrInvalidFormat",
    "The request is too short, too long or malformed.",
    "Compare its bytes with the service's format, and the record with the length of the DID.",
  ],
  [
    0x14,
    "responseTooLong",
    "The answer does not fit into one message.",
    "Ask for fewer DIDs, or a narrower status mask, at once.",
  ],
  [
    0x21,
    "busyRepeatRequest",
    "The ECU is busy with another tester or task.",
    "Send the request again after a moment.",
  ],
  [
    0x22,
    "conditionsNotCorrect",
    "The vehicle or the ECU is not in a state that allows this.",
    "Check ignition, speed, voltage, session and whether an update is running.",
  ],
  [
    0x24,
    "requestSequenceError",
    "A step that has to come before is missing.",
    "Send the steps of the procedure in their order: seed before key, 34 before 36.",
  ],
  [
    0x25,
    "noResponseFromSubnetComponent",
    "A component behind the ECU did not answer in time.",
    "Check that it has power and a connection, then try again.",
  ],
  [
    0x26,
    "failurePreventsExecutionOfRequestedAction",
    "A stored failure prevents this.",
    "Read the DTCs (19 02), repair, clear them (14) and try again.",
  ],
  [
    0x31,
    "requestOutOfRange",
    "An identifier, an address or a value is unknown here or not allowed.",
    "Check DID, RID, address and value; some are there in another session (10) only.",
  ],
  [
    0x33,
    "securityAccessDenied",
    "The ECU is locked for this.",
    "Unlock it by security access (27); each change of session locks it again.",
  ],
  [
    0x34,
    "authenticationRequired",
    "The ECU wants to know who asks.",
    "Authenticate (29) with a certificate whose role allows this.",
  ],
  [
    0x35,
    "invalidKey",
    "The key does not fit the seed.",
    "Check the level's secret and algorithm; ask for a new seed before the next key.",
  ],
  [
    0x36,
    "exceededNumberOfAttempts",
    "Too many wrong keys: the ECU takes none for a while.",
    "Wait until the delay is over, then ask for a new seed.",
  ],
  [
    0x37,
    "requiredTimeDelayNotExpired",
    "The delay after wrong keys, or after power on, is still running.",
    "Wait some 10 s and ask for the seed again; restarting the ECU does not shorten it.",
  ],
  [
    0x38,
    "secureDataTransmissionRequired",
    "The ECU takes this request secured only.",
    "Send it inside SecuredDataTransmission (84).",
  ],
  [
    0x39,
    "secureDataTransmissionNotAllowed",
    "The ECU does not take this request secured.",
    "Send it as it is, without 84.",
  ],
  [
    0x3a,
    "secureDataVerificationFailed",
    "The ECU could not verify the secured request.",
    "Check keys, counter and signature of the 84 message.",
  ],
  [
    0x50,
    "certificateInvalidTimePeriod",
    "The certificate is not valid yet, or no longer.",
    "Check its dates against the ECU's clock; get a new one.",
  ],
  [
    0x51,
    "certificateInvalidSignature",
    "The signature on the certificate is wrong.",
    "Check that the certificate was not altered; get it anew from its issuer.",
  ],
  [
    0x52,
    "certificateInvalidChainOfTrust",
    "The ECU does not trust the issuer of the certificate.",
    "Send one of the authority that the ECU is built with, with its intermediates.",
  ],
  [
    0x53,
    "certificateInvalidType",
    "The certificate is of a kind that is not for this.",
    "Use a certificate for testers, not one of a server or a vehicle.",
  ],
  [
    0x54,
    "certificateInvalidFormat",
    "The ECU can't read the certificate.",
    "Check encoding and format: X.509 in DER, CVC or the manufacturer's own.",
  ],
  [
    0x55,
    "certificateInvalidContent",
    "Something in the certificate is not as the ECU demands it.",
    "Compare subject, extensions and role with the manufacturer's profile.",
  ],
  [
    0x56,
    "certificateInvalidScope",
    "The certificate is not for this ECU or vehicle.",
    "Get one whose scope covers it.",
  ],
  [
    0x57,
    "certificateInvalid",
    "The certificate was revoked.",
    "Get a new one; find out why it was revoked.",
  ],
  [
    0x58,
    "ownershipVerificationFailed",
    "The proof that the tester has the private key does not hold.",
    "Sign the ECU's newest challenge with the key of the certificate.",
  ],
  [
    0x59,
    "challengeCalculationFailed",
    "The ECU could not make its challenge.",
    "Begin the authentication anew; if it stays, restart the ECU (11 01).",
  ],
  [
    0x5a,
    "settingAccessRightsFailed",
    "The ECU could not grant the rights of the certificate's role.",
    "Begin the authentication anew; check that the ECU knows the role.",
  ],
  [
    0x5b,
    "sessionKeyCreationFailed",
    "The ECU could not make or derive a session key.",
    "Begin the authentication anew; check the ephemeral key that was sent.",
  ],
  [
    0x5c,
    "configurationDataUsageFailed",
    "The ECU could not use the configuration data of the certificate.",
    "Check them against the manufacturer's profile.",
  ],
  [
    0x5d,
    "deAuthenticationFailed",
    "The ECU could not end the authentication.",
    "Go back to the default session (10 01), which ends it as well.",
  ],
  [
    0x70,
    "uploadDownloadNotAccepted",
    "The ECU can't take the transfer.",
    "Check address, length and data format, and that the memory was erased (31 01 FF00).",
  ],
  [
    0x71,
    "transferDataSuspended",
    "A fault stopped the transfer, or more came than was announced.",
    "Start over with 34; compare the length announced with what is sent.",
  ],
  [
    0x72,
    "generalProgrammingFailure",
    "Erasing or writing the memory failed.",
    "Erase it and start the transfer anew; if it fails again, the memory is bad.",
  ],
  [
    0x73,
    "wrongBlockSequenceCounter",
    "A block is missing or came twice.",
    "Start the transfer anew; count from 01, after FF comes 00.",
  ],
  [
    0x78,
    "requestCorrectlyReceivedResponsePending",
    "The ECU works on it and answers later.",
    "Wait, and do not send it again.",
  ],
  [
    0x7e,
    "subFunctionNotSupportedInActiveSession",
    "The sub-function is not there in this session.",
    "Change to the extended (10 03) or programming session (10 02) first.",
  ],
  [
    0x7f,
    "serviceNotSupportedInActiveSession",
    "The service is not there in this session.",
    "Change to the extended (10 03) or programming session (10 02) first.",
  ],
  [0x81, "rpmTooHigh", "The engine turns too fast.", "Lower its speed and try again."],
  [0x82, "rpmTooLow", "The engine turns too slowly.", "Raise its speed and try again."],
  [
    0x83,
    "engineIsRunning",
    "The engine is running.",
    "Stop it, leave the ignition on, and try again.",
  ],
  [0x84, "engineIsNotRunning", "The engine is not running.", "Start it and try again."],
  [
    0x85,
    "engineRunTimeTooLow",
    "The engine has not run for long enough.",
    "Let it run on and try again.",
  ],
  [
    0x86,
    "temperatureTooHigh",
    "A temperature is too high for this.",
    "Let it cool down and try again.",
  ],
  [
    0x87,
    "temperatureTooLow",
    "A temperature is too low for this.",
    "Let it warm up and try again.",
  ],
  [0x88, "vehicleSpeedTooHigh", "The vehicle is too fast for this.", "Stop it and try again."],
  [
    0x89,
    "vehicleSpeedTooLow",
    "The vehicle is too slow for this.",
    "Repeat it at the speed that the procedure names.",
  ],
  [
    0x8a,
    "throttlePedalTooHigh",
    "The accelerator is pressed too far.",
    "Release it and try again.",
  ],
  [
    0x8b,
    "throttlePedalTooLow",
    "The accelerator is not pressed far enough.",
    "Press it further and try again.",
  ],
  [
    0x8c,
    "transmissionRangeNotInNeutral",
    "The transmission is not in neutral.",
    "Shift to neutral and try again.",
  ],
  [
    0x8d,
    "transmissionRangeNotInGear",
    "The transmission is in no gear.",
    "Engage a gear and try again.",
  ],
  [0x8f, "brakeSwitchNotClosed", "The brake is not pressed.", "Press and hold it, then try again."],
  [0x90, "shifterLeverNotInPark", "The selector is not in park.", "Shift to park and try again."],
  [
    0x91,
    "torqueConverterClutchLocked",
    "The clutch of the torque converter is locked.",
    "Let it open, at standstill or lower speed, and try again.",
  ],
  [
    0x92,
    "voltageTooHigh",
    "The supply voltage is too high.",
    "Check charger and generator, then try again.",
  ],
  [
    0x93,
    "voltageTooLow",
    "The supply voltage is too low.",
    "Charge the battery or connect a supply, then try again.",
  ],
  [
    0x94,
    "resourceTemporarilyNotAvailable",
    "Something that the ECU needs for this is in use.",
    "Try again later; end other testers' work on the ECU.",
  ],
];

const byCode = new Map<number, NrcEntry>(
  rows.map(([code, name, meaning, next]) => [code, { code, name, meaning, try: next }]),
);

/** All codes with a name of their own, in ascending order. */
export const nrcTable: readonly NrcEntry[] = [...byCode.values()];

/** Any code in words; a range that only the manufacturer knows says so. */
export function describeNrc(code: number): NrcEntry {
  const known = byCode.get(code);
  if (known !== undefined) return known;
  if (code >= 0x95 && code <= 0xef) {
    return {
      code,
      name: "reservedForSpecificConditionsNotCorrect",
      meaning: "A condition of the vehicle is not met.",
      try: "Look the code up in the manufacturer's documents.",
    };
  }
  if (code >= 0xf0 && code <= 0xfe) {
    return {
      code,
      name: "vehicleManufacturerSpecificConditionsNotCorrect",
      meaning: "A condition that the manufacturer defined is not met.",
      try: "Look the code up in the manufacturer's documents.",
    };
  }
  return {
    code,
    name: "reserved",
    meaning: "The standard reserves this code; an ECU should not send it.",
    try: "Check that the answer was read rightly, and the ECU's software version.",
  };
}
