/** Service identifiers of the requests this project speaks (ISO 14229-1). */
export const Sid = {
  diagnosticSessionControl: 0x10,
  ecuReset: 0x11,
  clearDiagnosticInformation: 0x14,
  readDtcInformation: 0x19,
  readDataByIdentifier: 0x22,
  readMemoryByAddress: 0x23,
  securityAccess: 0x27,
  communicationControl: 0x28,
  authentication: 0x29,
  readDataByPeriodicIdentifier: 0x2a,
  dynamicallyDefineDataIdentifier: 0x2c,
  writeDataByIdentifier: 0x2e,
  inputOutputControlByIdentifier: 0x2f,
  routineControl: 0x31,
  requestDownload: 0x34,
  requestUpload: 0x35,
  transferData: 0x36,
  requestTransferExit: 0x37,
  writeMemoryByAddress: 0x3d,
  testerPresent: 0x3e,
  controlDtcSetting: 0x85,
  negativeResponse: 0x7f,
} as const;

/** A positive response carries its request's SID plus this. */
export const POSITIVE_OFFSET = 0x40;

/** In a sub-function: answer only when it is negative. */
export const SUPPRESS_POSITIVE = 0x80;

export interface ServiceEntry {
  sid: number;
  name: string;
  /** Names of the sub-functions; present exactly when the service has a sub-function byte. */
  subFunctions?: ReadonlyMap<number, string>;
  /** Changes nothing in the vehicle, so that it may be sent again when no answer came. */
  readsOnly: boolean;
  /** How many bytes after the SID a positive response repeats from its request. */
  echoes: number;
}

const names = (entries: Record<number, string>): ReadonlyMap<number, string> =>
  new Map(Object.entries(entries).map(([id, name]) => [Number(id), name]));

const readDtcSubFunctions = names({
  0x01: "reportNumberOfDTCByStatusMask",
  0x02: "reportDTCByStatusMask",
  0x03: "reportDTCSnapshotIdentification",
  0x04: "reportDTCSnapshotRecordByDTCNumber",
  0x05: "reportDTCStoredDataByRecordNumber",
  0x06: "reportDTCExtDataRecordByDTCNumber",
  0x07: "reportNumberOfDTCBySeverityMaskRecord",
  0x08: "reportDTCBySeverityMaskRecord",
  0x09: "reportSeverityInformationOfDTC",
  0x0a: "reportSupportedDTC",
  0x0b: "reportFirstTestFailedDTC",
  0x0c: "reportFirstConfirmedDTC",
  0x0d: "reportMostRecentTestFailedDTC",
  0x0e: "reportMostRecentConfirmedDTC",
  // 0F to 13 are of the editions before 2020.
  0x0f: "reportMirrorMemoryDTCByStatusMask",
  0x10: "reportMirrorMemoryDTCExtDataRecordByDTCNumber",
  0x11: "reportNumberOfMirrorMemoryDTCByStatusMask",
  0x12: "reportNumberOfEmissionsOBDDTCByStatusMask",
  0x13: "reportEmissionsOBDDTCByStatusMask",
  0x14: "reportDTCFaultDetectionCounter",
  0x15: "reportDTCWithPermanentStatus",
  0x16: "reportDTCExtDataRecordByRecordNumber",
  0x17: "reportUserDefMemoryDTCByStatusMask",
  0x18: "reportUserDefMemoryDTCSnapshotRecordByDTCNumber",
  0x19: "reportUserDefMemoryDTCExtDataRecordByDTCNumber",
  0x1a: "reportSupportedDTCExtDataRecord",
  0x42: "reportWWHOBDDTCByMaskRecord",
  0x55: "reportWWHOBDDTCWithPermanentStatus",
  0x56: "reportDTCInformationByDTCReadinessGroupIdentifier",
});

/** 43 to 5E are reserved; 5F and 60 end a vehicle's life (ISO 26021), 61 to 7E are the supplier's. */
const securitySubFunctions: ReadonlyMap<number, string> = new Map(
  Array.from({ length: 0x7e }, (_, index) => index + 1)
    .filter((id) => id <= 0x42 || id >= 0x5f)
    .map((id) => [id, id % 2 === 1 ? "requestSeed" : "sendKey"]),
);

const authenticationSubFunctions = names({
  0x00: "deAuthenticate",
  0x01: "verifyCertificateUnidirectional",
  0x02: "verifyCertificateBidirectional",
  0x03: "proofOfOwnership",
  0x04: "transmitCertificate",
  0x05: "requestChallengeForAuthentication",
  0x06: "verifyProofOfOwnershipUnidirectional",
  0x07: "verifyProofOfOwnershipBidirectional",
  0x08: "authenticationConfiguration",
});

const communicationSubFunctions = names({
  0x00: "enableRxAndTx",
  0x01: "enableRxAndDisableTx",
  0x02: "disableRxAndEnableTx",
  0x03: "disableRxAndTx",
  0x04: "enableRxAndDisableTxWithEnhancedAddressInformation",
  0x05: "enableRxAndTxWithEnhancedAddressInformation",
});

const eventSubFunctions = names({
  0x00: "stopResponseOnEvent",
  0x01: "onDTCStatusChange",
  // Of the editions before 2020.
  0x02: "onTimerInterrupt",
  0x03: "onChangeOfDataIdentifier",
  0x04: "reportActivatedEvents",
  0x05: "startResponseOnEvent",
  0x06: "clearResponseOnEvent",
  0x07: "onComparisonOfValues",
  0x08: "reportMostRecentDtcOnStatusChange",
  0x09: "reportDTCRecordInformationOnDtcStatusChange",
});

const sessionSubFunctions = names({
  0x01: "defaultSession",
  0x02: "programmingSession",
  0x03: "extendedDiagnosticSession",
  0x04: "safetySystemDiagnosticSession",
});

const resetSubFunctions = names({
  0x01: "hardReset",
  0x02: "keyOffOnReset",
  0x03: "softReset",
  0x04: "enableRapidPowerShutDown",
  0x05: "disableRapidPowerShutDown",
});

const definitionSubFunctions = names({
  0x01: "defineByIdentifier",
  0x02: "defineByMemoryAddress",
  0x03: "clearDynamicallyDefinedDataIdentifier",
});

const routineSubFunctions = names({
  0x01: "startRoutine",
  0x02: "stopRoutine",
  0x03: "requestRoutineResults",
});

const timingSubFunctions = names({
  0x01: "readExtendedTimingParameterSet",
  0x02: "setTimingParametersToDefaultValues",
  0x03: "readCurrentlyActiveTimingParameters",
  0x04: "setTimingParametersToGivenValues",
});

const linkSubFunctions = names({
  0x01: "verifyModeTransitionWithFixedParameter",
  0x02: "verifyModeTransitionWithSpecificParameter",
  0x03: "transitionMode",
});

const entry = (
  sid: number,
  name: string,
  readsOnly: boolean,
  echoes: number,
  subFunctions?: ReadonlyMap<number, string>,
): ServiceEntry => ({ sid, name, readsOnly, echoes, ...(subFunctions && { subFunctions }) });

/** The services of ISO 14229-1 in ascending order. */
export const serviceTable: readonly ServiceEntry[] = [
  entry(0x10, "DiagnosticSessionControl", false, 1, sessionSubFunctions),
  entry(0x11, "ECUReset", false, 1, resetSubFunctions),
  entry(0x14, "ClearDiagnosticInformation", false, 0),
  entry(0x19, "ReadDTCInformation", true, 1, readDtcSubFunctions),
  entry(0x22, "ReadDataByIdentifier", true, 2),
  entry(0x23, "ReadMemoryByAddress", true, 0),
  entry(0x24, "ReadScalingDataByIdentifier", true, 2),
  entry(0x27, "SecurityAccess", false, 1, securitySubFunctions),
  entry(0x28, "CommunicationControl", false, 1, communicationSubFunctions),
  entry(0x29, "Authentication", false, 1, authenticationSubFunctions),
  entry(0x2a, "ReadDataByPeriodicIdentifier", false, 0),
  entry(0x2c, "DynamicallyDefineDataIdentifier", false, 1, definitionSubFunctions),
  entry(0x2e, "WriteDataByIdentifier", false, 2),
  entry(0x2f, "InputOutputControlByIdentifier", false, 2),
  entry(0x31, "RoutineControl", false, 3, routineSubFunctions),
  entry(0x34, "RequestDownload", false, 0),
  entry(0x35, "RequestUpload", false, 0),
  entry(0x36, "TransferData", false, 1),
  entry(0x37, "RequestTransferExit", false, 0),
  entry(0x38, "RequestFileTransfer", false, 1),
  entry(0x3d, "WriteMemoryByAddress", false, 0),
  entry(0x3e, "TesterPresent", true, 1, names({ 0x00: "zeroSubFunction" })),
  // Of the editions before 2020.
  entry(0x83, "AccessTimingParameter", false, 1, timingSubFunctions),
  entry(0x84, "SecuredDataTransmission", false, 0),
  entry(0x85, "ControlDTCSetting", false, 1, names({ 0x01: "on", 0x02: "off" })),
  entry(0x86, "ResponseOnEvent", false, 1, eventSubFunctions),
  entry(0x87, "LinkControl", false, 1, linkSubFunctions),
];

const bySid = new Map(serviceTable.map((service) => [service.sid, service]));

export function findService(sid: number): ServiceEntry | undefined {
  return bySid.get(sid);
}

/**
 * Whether the request changes nothing in the vehicle and so may be sent again when it is not known
 * whether it arrived. Anything unknown counts as changing something.
 */
export function isReadOnly(request: Uint8Array): boolean {
  const [sid, subFunction] = request;
  if (sid === undefined) return false;
  if (sid === Sid.routineControl) return subFunction === 0x03;
  return findService(sid)?.readsOnly ?? false;
}

/** The name of a request's sub-function; ranges that are not the standard's say whose they are. */
export function subFunctionName(sid: number, subFunction: number): string | undefined {
  // In ResponseOnEvent bit 6 says whether the event is kept over a restart.
  const id = sid === 0x86 ? subFunction & ~STORE_EVENT : subFunction;
  const name = findService(sid)?.subFunctions?.get(id);
  if (name !== undefined || !withOwnRanges.includes(sid)) return name;
  if (id >= 0x40 && id <= 0x5f) return "vehicleManufacturerSpecific";
  return id >= 0x60 && id <= 0x7e ? "systemSupplierSpecific" : undefined;
}

/** Services whose sub-functions 40 to 7E are the manufacturer's and the supplier's. */
const withOwnRanges: readonly number[] = [0x10, 0x11, 0x28, 0x85, 0x87];

/** In the sub-function of ResponseOnEvent (86): keep the event over a restart. */
export const STORE_EVENT = 0x40;

/** Whether a positive response to this request is not to be expected (suppress bit set). */
export function suppressesPositive(request: Uint8Array): boolean {
  const [sid, subFunction] = request;
  if (sid === undefined || subFunction === undefined) return false;
  const hasSubFunction = findService(sid)?.subFunctions !== undefined;
  return hasSubFunction && (subFunction & SUPPRESS_POSITIVE) !== 0;
}
