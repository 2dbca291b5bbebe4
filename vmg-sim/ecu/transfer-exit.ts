import { Nrc } from "#protocol/uds/nrc.ts";
import { PROGRAMMING_LEVEL } from "#protocol/uds/programming.ts";
import { Sid } from "#protocol/uds/service.ts";
import { endTransfer, negative, positive, Session, type EcuService } from "./runtime.ts";

/** 37: ends the transfer once every announced byte has come. */
export const transferExit: EcuService = {
  sid: Sid.requestTransferExit,
  sessions: [Session.programming],
  levels: [PROGRAMMING_LEVEL],
  minLength: 1,
  async handle(ecu, request) {
    const { transfer } = ecu.now;
    if (transfer === undefined || transfer.received < transfer.announced) {
      return negative(Nrc.requestSequenceError);
    }
    if (request.length !== 1) return negative(Nrc.incorrectMessageLength);
    await transfer.to.finish(transfer.received);
    await endTransfer(ecu);
    return positive();
  },
};
