import { Nrc } from "#protocol/uds/nrc.ts";
import { admitTester } from "./access-rights.ts";
import { authentication } from "./authentication.ts";
import { clearDtc } from "./clear-dtc.ts";
import { communicationControl } from "./communication-control.ts";
import { requestDownload } from "./download.ts";
import { dtcSetting } from "./dtc-setting.ts";
import { dynamicDid } from "./dynamic-did.ts";
import { ioControl } from "./io-control.ts";
import { periodicReading } from "./periodic.ts";
import { readDid } from "./read-did.ts";
import { readDtc } from "./read-dtc.ts";
import { readMemoryByAddress } from "./read-memory.ts";
import { ecuReset } from "./reset.ts";
import { routineControl } from "./routine-control.ts";
import {
  negative,
  type EcuRuntime,
  type EcuService,
  type Outcome,
  type Tester,
} from "./runtime.ts";
import { securityAccess } from "./security-access.ts";
import { sessionControl } from "./session.ts";
import { testerPresent } from "./tester-present.ts";
import { transferData } from "./transfer-data.ts";
import { transferExit } from "./transfer-exit.ts";
import { requestUpload } from "./upload.ts";
import { writeDid } from "./write-did.ts";
import { writeMemoryByAddress } from "./write-memory.ts";

/** The services of the ECU, one file each. */
const services = new Map<number, EcuService>(
  [
    sessionControl,
    ecuReset,
    clearDtc,
    readDtc,
    readDid,
    readMemoryByAddress,
    securityAccess,
    communicationControl,
    authentication,
    periodicReading,
    dynamicDid,
    writeDid,
    ioControl,
    routineControl,
    requestDownload,
    requestUpload,
    transferData,
    transferExit,
    writeMemoryByAddress,
    testerPresent,
    dtcSetting,
  ].map((service) => [service.sid, service]),
);

/**
 * Runs a request: first the checks that all services share, in the order of ISO 14229-1 (service,
 * session, authentication and security, minimum length, sub-function and its session), then the
 * service's own.
 */
export function dispatch(
  ecu: EcuRuntime,
  request: Uint8Array,
  tester: Tester,
): Outcome | Promise<Outcome> {
  const service = services.get(request[0] ?? 0);
  if (service === undefined) return negative(Nrc.serviceNotSupported);
  const { session, unlocked } = ecu.now;
  const isAllowed = service.isAllowed?.(ecu) === true;
  if (!isAllowed && service.sessions?.includes(session) === false) {
    return negative(Nrc.serviceNotSupportedInActiveSession);
  }
  const nrc = admitTester(ecu, request, tester);
  if (nrc !== undefined) return negative(nrc);
  const isOpen = isAllowed || ecu.now.isCovered;
  if (!isOpen && service.levels?.includes(unlocked ?? 0) === false) {
    return negative(Nrc.securityAccessDenied);
  }
  if (request.length < service.minLength) return negative(Nrc.incorrectMessageLength);
  if (service.subFunctions !== undefined) {
    const rule = service.subFunctions(ecu).get((request[1] ?? 0) & 0x7f);
    if (rule === undefined) return negative(Nrc.subFunctionNotSupported);
    if (rule.sessions?.includes(session) === false) {
      return negative(Nrc.subFunctionNotSupportedInActiveSession);
    }
  }
  return service.handle(ecu, request, tester);
}
