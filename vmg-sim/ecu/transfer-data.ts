import { Nrc } from "#protocol/uds/nrc.ts";
import { PROGRAMMING_LEVEL } from "#protocol/uds/programming.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  endTransfer,
  isUploading,
  negative,
  positive,
  Session,
  type Download,
  type EcuRuntime,
  type EcuService,
  type Outcome,
  type Upload,
} from "./runtime.ts";

const OVERHEAD = 2;

/** 36: the next block; a download's is written to where it goes before it is answered. */
export const transferData: EcuService = {
  sid: Sid.transferData,
  sessions: [Session.programming],
  levels: [PROGRAMMING_LEVEL],
  isAllowed: isUploading,
  minLength: OVERHEAD,
  handle(ecu, request) {
    const { transfer } = ecu.now;
    if (transfer === undefined) return negative(Nrc.requestSequenceError);
    return transfer.direction === "upload"
      ? sendBlock(ecu, transfer, request)
      : takeBlock(ecu, transfer, request);
  },
};

function sendBlock(ecu: EcuRuntime, upload: Upload, request: Uint8Array): Outcome {
  if (request.length !== OVERHEAD) return negative(Nrc.incorrectMessageLength);
  const counter = request[1] ?? 0;
  // The tester asks for a block again when it got lost on its way.
  const repeats = upload.blocks > 0 && counter === (upload.blocks & 0xff);
  if (!repeats) {
    if (isComplete(ecu, upload)) return negative(Nrc.requestSequenceError);
    if (counter !== ((upload.blocks + 1) & 0xff)) return negative(Nrc.wrongBlockSequenceCounter);
    upload.blocks += 1;
  }
  const step = ecu.config.max_block_length - OVERHEAD;
  return positive(counter, upload.data.subarray((upload.blocks - 1) * step, upload.blocks * step));
}

/** Whether each byte has been sent. */
export function isComplete({ config }: EcuRuntime, { data, blocks }: Upload): boolean {
  return blocks * (config.max_block_length - OVERHEAD) >= data.length;
}

function takeBlock(
  ecu: EcuRuntime,
  download: Download,
  request: Uint8Array,
): Outcome | Promise<Outcome> {
  const { length } = request;
  if (length === OVERHEAD || length > ecu.config.max_block_length) {
    return negative(Nrc.incorrectMessageLength);
  }
  const counter = request[1] ?? 0;
  // The tester repeats a block when its answer got lost; it is already written.
  if (download.blocks > 0 && counter === (download.blocks & 0xff)) return positive(counter);
  if (counter !== ((download.blocks + 1) & 0xff)) return negative(Nrc.wrongBlockSequenceCounter);
  if (download.received + length - OVERHEAD > download.announced) {
    return negative(Nrc.transferDataSuspended);
  }
  return writeBlock(ecu, download, counter, request.subarray(OVERHEAD));
}

async function writeBlock(
  ecu: EcuRuntime,
  download: Download,
  counter: number,
  data: Uint8Array,
): Promise<Outcome> {
  const block = download.blocks + 1;
  if (download.to.kind === "flash") {
    if (block === ecu.behaviour.resetAtBlock) return { kind: "crash" };
    if (block === ecu.behaviour.failAtBlock) {
      await endTransfer(ecu);
      return negative(Nrc.generalProgrammingFailure);
    }
  }
  await download.to.write(data, download.received);
  download.blocks = block;
  download.received += data.length;
  return positive(counter);
}
