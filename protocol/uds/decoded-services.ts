import {
  describeFields,
  hexId,
  unsigned,
  type FieldReader,
  type MessageContext,
} from "./decoded-fields.ts";
import { Sid, STORE_EVENT } from "./service.ts";

/** Reads what follows the SID, the sub-function and, where there is one, the identifier. */
type Layout = (fields: FieldReader, context: MessageContext) => void;

const nothing: Layout = () => undefined;
const rest =
  (name: string): Layout =>
  (fields) =>
    fields.rest(name);

/** `sizes address length`: how many bytes both have stands in front. */
function memory(fields: FieldReader): void {
  const sizes = fields.number("addressAndLengthFormatIdentifier", 1);
  if (sizes !== undefined) addressAndSize(fields, sizes);
}

function addressAndSize(fields: FieldReader, sizes: number): void {
  fields.number("memoryAddress", sizes & 0x0f);
  fields.number("memorySize", sizes >> 4, { unit: "bytes" });
}

const transfer: Layout = (fields) => {
  fields.hex("dataFormatIdentifier", 1);
  memory(fields);
};

const blockLength: Layout = (fields) => {
  const format = fields.number("lengthFormatIdentifier", 1);
  if (format !== undefined) {
    fields.number("maxNumberOfBlockLength", format >> 4, { unit: "bytes" });
  }
};

const block =
  (name: string): Layout =>
  (fields) => {
    fields.number("blockSequenceCounter", 1);
    fields.rest(name);
  };

const group: Layout = (fields) => {
  const all = fields.peek(3);
  if (all !== undefined && unsigned(all) === 0xff_ffff) {
    fields.take(3);
    fields.note({ name: "groupOfDTC", value: "all", raw: "FFFFFF" });
  } else fields.hex("groupOfDTC", 3);
  fields.hex("MemorySelection", fields.left);
};

/** What each sub-function of 19 asks for (ISO 14229-1, 12.3). */
const reportRequests: readonly (readonly [ids: readonly number[], fields: readonly string[]])[] = [
  [[0x01, 0x02, 0x0f, 0x11, 0x12, 0x13], ["DTCStatusMask"]],
  [[0x04], ["DTC", "DTCSnapshotRecordNumber"]],
  [[0x05], ["DTCStoredDataRecordNumber"]],
  [
    [0x06, 0x10],
    ["DTC", "DTCExtDataRecordNumber"],
  ],
  [
    [0x07, 0x08],
    ["DTCSeverityMask", "DTCStatusMask"],
  ],
  [[0x09], ["DTC"]],
  [[0x16, 0x1a], ["DTCExtDataRecordNumber"]],
  [[0x17], ["DTCStatusMask", "MemorySelection"]],
  [[0x18], ["DTC", "UserDefDTCSnapshotRecordNumber", "MemorySelection"]],
  [[0x19], ["DTC", "DTCExtDataRecordNumber", "MemorySelection"]],
  [[0x42], ["FunctionalGroupIdentifier", "DTCStatusMask", "DTCSeverityMask"]],
  [[0x55], ["FunctionalGroupIdentifier"]],
  [[0x56], ["FunctionalGroupIdentifier", "DTCReadinessGroupIdentifier"]],
];

const reportRequest: Layout = (fields, { subFunction }) => {
  const [, names = []] = reportRequests.find(([ids]) => ids.includes(subFunction)) ?? [];
  for (const name of names) fields.hex(name, name === "DTC" ? 3 : 1);
};

const security =
  (odd: string, even: string): Layout =>
  (fields, { subFunction }) =>
    fields.rest(subFunction % 2 === 1 ? odd : even);

const communication: Layout = (fields, { subFunction }) => {
  fields.hex("communicationType", 1);
  if (subFunction >= 0x04) fields.hex("nodeIdentificationNumber", fields.left);
};

type Step = (fields: FieldReader) => void;
const counted =
  (name: string): Step =>
  (fields) =>
    fields.counted(name);
const communicationConfiguration: Step = (fields) => fields.hex("communicationConfiguration", 1);
const algorithm: Step = (fields) => fields.hex("algorithmIndicator", 16);

/** 29 by its sub-functions (ISO 14229-1, 10.6). */
const authenticationRequests = new Map<number, readonly Step[]>([
  [0x01, [communicationConfiguration, counted("certificateClient"), counted("challengeClient")]],
  [0x02, [communicationConfiguration, counted("certificateClient"), counted("challengeClient")]],
  [0x03, [counted("proofOfOwnershipClient"), counted("ephemeralPublicKeyClient")]],
  [0x04, [(fields) => fields.hex("certificateEvaluationId", 2), counted("certificateData")]],
  [0x05, [communicationConfiguration, algorithm]],
  [
    0x06,
    [
      algorithm,
      counted("proofOfOwnershipClient"),
      counted("challengeClient"),
      counted("additionalParameter"),
    ],
  ],
  [
    0x07,
    [
      algorithm,
      counted("proofOfOwnershipClient"),
      counted("challengeClient"),
      counted("additionalParameter"),
    ],
  ],
]);

const authenticationResponses = new Map<number, readonly Step[]>([
  [0x01, [counted("challengeServer"), counted("ephemeralPublicKeyServer")]],
  [
    0x02,
    [
      counted("challengeServer"),
      counted("certificateServer"),
      counted("proofOfOwnershipServer"),
      counted("ephemeralPublicKeyServer"),
    ],
  ],
  [0x03, [counted("sessionKeyInfo")]],
  [0x05, [algorithm, counted("challengeServer"), counted("neededAdditionalParameter")]],
  [0x06, [algorithm, counted("sessionKeyInfo")]],
  [0x07, [algorithm, counted("proofOfOwnershipServer"), counted("sessionKeyInfo")]],
]);

const authenticationResults = {
  0x00: "request accepted",
  0x01: "general reject",
  0x02: "authentication configuration APCE",
  0x03: "authentication configuration ACR with asymmetric cryptography",
  0x04: "authentication configuration ACR with symmetric cryptography",
  0x10: "deauthentication successful",
  0x11: "certificate verified, ownership verification necessary",
  0x12: "ownership verified, authentication complete",
  0x13: "certificate verified",
};

const rates = { 1: "slow", 2: "medium", 3: "fast", 4: "stop" };
const controls = {
  0: "returnControlToECU",
  1: "resetToDefault",
  2: "freezeCurrentState",
  3: "shortTermAdjustment",
};

const define: Layout = (fields, { subFunction }) => {
  if (fields.left === 0) return;
  fields.hex("dynamicallyDefinedDataIdentifier", 2);
  if (subFunction === 0x01) {
    fields.each(4, () => {
      fields.hex("sourceDataIdentifier", 2);
      fields.number("positionInSourceDataRecord", 1);
      fields.number("memorySize", 1, { unit: "bytes" });
    });
  }
  if (subFunction !== 0x02) return;
  const sizes = fields.number("addressAndLengthFormatIdentifier", 1) ?? 0;
  const least = (sizes & 0x0f) + (sizes >> 4);
  if (least > 0) fields.each(least, () => addressAndSize(fields, sizes));
};

const didRecord: Layout = (fields, { request, catalogue }) => {
  const did = unsigned(request.subarray(1, 3));
  const entry = catalogue.dids.get(did);
  if (fields.left > 0) fields.record(entry?.name ?? "unknown", entry?.codec, fields.left, did);
};

/** The state has the form of the DID's record; in a request a mask may follow it. */
const control: Layout = (fields, context) => {
  if (fields.number("inputOutputControlParameter", 1, { words: controls }) === undefined) return;
  const did = unsigned(context.request.subarray(1, 3));
  const entry = context.catalogue.dids.get(did);
  const length = Math.min(entry?.codec.length ?? fields.left, fields.left);
  if (length > 0) fields.record(entry?.name ?? "controlState", entry?.codec, length, did);
  fields.rest("controlEnableMaskRecord");
};

const routine =
  (part: "option" | "result", name: string): Layout =>
  (fields, { request, catalogue, subFunction }) => {
    const layout = catalogue.rids.get(unsigned(request.subarray(2, 4)))?.[part];
    const isStart = subFunction === 0x01;
    if (layout === undefined || (part === "option" && !isStart)) return fields.rest(name);
    const record = fields.take(fields.left) ?? new Uint8Array(0);
    for (const value of describeFields(layout, record)) fields.note(value);
  };

const fileModes = {
  1: "addFile",
  2: "deleteFile",
  3: "replaceFile",
  4: "readFile",
  5: "readDir",
  6: "resumeFile",
};

/** 38: its sub-function is called mode of operation, and has no suppress bit. */
const fileRequest: Layout = (fields) => {
  const mode = fields.number("modeOfOperation", 1, { words: fileModes }) ?? 0;
  const length = fields.number("filePathAndNameLength", 2, { unit: "bytes" }) ?? 0;
  fields.text("filePathAndName", length);
  if ([1, 3, 4, 6].includes(mode)) fields.hex("dataFormatIdentifier", 1);
  if (![1, 3, 6].includes(mode)) return;
  const size = fields.number("fileSizeParameterLength", 1) ?? 0;
  fields.number("fileSizeUnCompressed", size, { unit: "bytes" });
  fields.number("fileSizeCompressed", size, { unit: "bytes" });
};

const fileResponse: Layout = (fields) => {
  const mode = fields.number("modeOfOperation", 1, { words: fileModes }) ?? 0;
  if (mode === 2) return;
  const length = fields.number("lengthFormatIdentifier", 1) ?? 0;
  fields.number("maxNumberOfBlockLength", length, { unit: "bytes" });
  fields.hex("dataFormatIdentifier", 1);
  if (mode === 6) fields.number("filePosition", 8);
  if (mode !== 4 && mode !== 5) return;
  const size = fields.number("fileSizeOrDirInfoParameterLength", 2) ?? 0;
  fields.number("fileSizeUncompressedOrDirInfoLength", size, { unit: "bytes" });
  if (mode === 4) fields.number("fileSizeCompressed", size, { unit: "bytes" });
};

const event: Layout = (fields, { request }) => {
  const isStored = ((request[1] ?? 0) & STORE_EVENT) !== 0;
  fields.note({
    name: "storageState",
    value: isStored ? "storeEvent" : "doNotStoreEvent",
    raw: hexId(request[1] ?? 0, 1).slice(2),
  });
  fields.hex("eventWindowTime", Math.min(1, fields.left));
  fields.rest("eventTypeAndServiceToRespondTo");
};

const eventResponse: Layout = (fields) => {
  fields.number("numberOfIdentifiedEvents", 1);
  fields.hex("eventWindowTime", Math.min(1, fields.left));
  fields.rest("eventTypeAndServiceToRespondTo");
};

export const requestLayouts: ReadonlyMap<number, Layout> = new Map<number, Layout>([
  [Sid.diagnosticSessionControl, nothing],
  [Sid.ecuReset, nothing],
  [Sid.clearDiagnosticInformation, group],
  [Sid.readDtcInformation, reportRequest],
  [0x23, memory],
  [0x24, nothing],
  [Sid.securityAccess, security("securityAccessDataRecord", "securityKey")],
  [0x28, communication],
  [
    0x29,
    (fields, { subFunction }) => {
      for (const step of authenticationRequests.get(subFunction) ?? []) step(fields);
    },
  ],
  [
    0x2a,
    (fields) => {
      fields.number("transmissionMode", 1, { words: rates });
      fields.each(1, () => fields.hex("periodicDataIdentifier", 1));
    },
  ],
  [0x2c, define],
  [Sid.writeDataByIdentifier, didRecord],
  [0x2f, control],
  [Sid.routineControl, routine("option", "routineControlOptionRecord")],
  [Sid.requestDownload, transfer],
  [0x35, transfer],
  [Sid.transferData, block("transferRequestParameterRecord")],
  [Sid.requestTransferExit, rest("transferRequestParameterRecord")],
  [0x38, fileRequest],
  [
    0x3d,
    (fields) => {
      memory(fields);
      fields.rest("dataRecord");
    },
  ],
  [Sid.testerPresent, nothing],
  [0x83, rest("timingParameterRequestRecord")],
  [0x84, rest("securityDataRequestRecord")],
  [Sid.controlDtcSetting, rest("DTCSettingControlOptionRecord")],
  [0x86, event],
  [
    0x87,
    (fields, { subFunction }) =>
      fields.rest(subFunction === 0x01 ? "linkControlModeIdentifier" : "linkRecord"),
  ],
]);

const DELAY_UNKNOWN = 0xff;

/** All but 19 and 22, which have more to them. */
export const responseLayouts: ReadonlyMap<number, Layout> = new Map<number, Layout>([
  [
    Sid.diagnosticSessionControl,
    (fields) => {
      fields.number("P2", 2, { unit: "ms" });
      fields.number("P2*", 2, { unit: "ms", scale: 10 });
    },
  ],
  [
    Sid.ecuReset,
    (fields) => {
      if (fields.left === 0) return;
      fields.number("powerDownTime", 1, { unit: "s", words: { [DELAY_UNKNOWN]: "unknown" } });
    },
  ],
  [Sid.clearDiagnosticInformation, nothing],
  [0x23, rest("dataRecord")],
  [0x24, rest("scalingByteRecord")],
  [Sid.securityAccess, security("seed", "undecoded")],
  [0x28, nothing],
  [
    0x29,
    (fields, { subFunction }) => {
      fields.number("authenticationReturnParameter", 1, { words: authenticationResults });
      for (const step of authenticationResponses.get(subFunction) ?? []) step(fields);
    },
  ],
  [0x2a, nothing],
  [0x2c, (fields) => fields.hex("dynamicallyDefinedDataIdentifier", Math.min(2, fields.left))],
  [Sid.writeDataByIdentifier, nothing],
  [0x2f, control],
  [Sid.routineControl, routine("result", "routineStatusRecord")],
  [Sid.requestDownload, blockLength],
  [0x35, blockLength],
  [Sid.transferData, block("transferResponseParameterRecord")],
  [Sid.requestTransferExit, rest("transferResponseParameterRecord")],
  [0x38, fileResponse],
  [0x3d, memory],
  [Sid.testerPresent, nothing],
  [0x83, rest("timingParameterResponseRecord")],
  [0x84, rest("securityDataResponseRecord")],
  [Sid.controlDtcSetting, nothing],
  [0x86, eventResponse],
  [0x87, nothing],
]);
