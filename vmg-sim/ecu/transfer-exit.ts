import { Nrc } from "#protocol/uds/nrc.ts";
import { PROGRAMMING_LEVEL } from "#protocol/uds/programming.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  endTransfer,
  isUploading,
  negative,
  positive,
  Session,
  type EcuService,
} from "./runtime.ts";
import { isComplete } from "./transfer-data.ts";

/** 37: ends the transfer once every announced byte has come, or gone. */
export const transferExit: EcuService = {
  sid: Sid.requestTransferExit,
  sessions: [Session.programming],
  levels: [PROGRAMMING_LEVEL],
  isAllowed: isUploading,
  minLength: 1,
  async handle(ecu, request) {
    const { transfer } = ecu.now;
    const isDone =
      transfer?.direction === "upload"
        ? isComplete(ecu, transfer)
        : transfer !== undefined && transfer.received >= transfer.announced;
    if (transfer === undefined || !isDone) return negative(Nrc.requestSequenceError);
    if (request.length !== 1) return negative(Nrc.incorrectMessageLength);
    if (transfer.direction === "download") await transfer.to.finish(transfer.received);
    await endTransfer(ecu);
    return positive();
  },
};
