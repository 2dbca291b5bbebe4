import { Nrc } from "#protocol/uds/nrc.ts";
import { PROGRAMMING_LEVEL } from "#protocol/uds/programming.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  endTransfer,
  negative,
  positive,
  Session,
  type EcuRuntime,
  type EcuService,
  type Outcome,
} from "./runtime.ts";

const OVERHEAD = 2;

/** 36: writes the next block to where it goes before it is answered. */
export const transferData: EcuService = {
  sid: Sid.transferData,
  sessions: [Session.programming],
  levels: [PROGRAMMING_LEVEL],
  minLength: OVERHEAD,
  async handle(ecu, request) {
    const { transfer } = ecu.now;
    if (transfer === undefined) return negative(Nrc.requestSequenceError);
    const { length } = request;
    if (length === OVERHEAD || length > ecu.config.max_block_length) {
      return negative(Nrc.incorrectMessageLength);
    }
    const counter = request[1] ?? 0;
    // The tester repeats a block when its answer got lost; it is already written.
    if (transfer.blocks > 0 && counter === (transfer.blocks & 0xff)) return positive(counter);
    if (counter !== ((transfer.blocks + 1) & 0xff)) return negative(Nrc.wrongBlockSequenceCounter);
    if (transfer.received + length - OVERHEAD > transfer.announced) {
      return negative(Nrc.transferDataSuspended);
    }
    return writeBlock(ecu, counter, request.subarray(OVERHEAD));
  },
};

async function writeBlock(ecu: EcuRuntime, counter: number, data: Uint8Array): Promise<Outcome> {
  const { transfer } = ecu.now;
  if (transfer === undefined) return negative(Nrc.requestSequenceError);
  const block = transfer.blocks + 1;
  if (transfer.to.kind === "flash") {
    if (block === ecu.behaviour.resetAtBlock) return { kind: "crash" };
    if (block === ecu.behaviour.failAtBlock) {
      await endTransfer(ecu);
      return negative(Nrc.generalProgrammingFailure);
    }
  }
  await transfer.to.write(data, transfer.received);
  transfer.blocks = block;
  transfer.received += data.length;
  return positive(counter);
}
