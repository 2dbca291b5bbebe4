import type { EcuRoutine } from "#config/ecu-definition.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { negative, positive, refusal, u16Bytes, type EcuRuntime, type Outcome } from "./runtime.ts";

const Control = { start: 0x01, stop: 0x02, results: 0x03 } as const;

/**
 * A routine of the definition (31). One in the background answers its start at once and has its
 * result later on, if nobody stops it; any other one is answered when it is done.
 */
export function controlDefined(
  ecu: EcuRuntime,
  routine: EcuRoutine,
  control: number,
  option: Uint8Array,
): Outcome | Promise<Outcome> {
  const refused = refusal(ecu, routine.access);
  if (refused !== undefined) return negative(refused);
  switch (control) {
    case Control.start:
      return start(ecu, routine, option);
    case Control.stop:
      return routine.background
        ? stop(ecu, routine, option)
        : negative(Nrc.subFunctionNotSupported);
    case Control.results:
      return results(ecu, routine, option);
    default:
      return negative(Nrc.subFunctionNotSupported);
  }
}

async function start(ecu: EcuRuntime, routine: EcuRoutine, option: Uint8Array): Promise<Outcome> {
  const { rid, background, duration_ms, option_length = 0 } = routine;
  if (option.length !== option_length) return negative(Nrc.incorrectMessageLength);
  const { routinesUntil, routineResults } = ecu.now;
  if (isRunning(ecu, rid)) return negative(Nrc.conditionsNotCorrect);
  routineResults.delete(rid);
  if (background) {
    routinesUntil.set(rid, ecu.clock.now() + duration_ms);
    return positive(Control.start, u16Bytes(rid));
  }
  await ecu.sleep(duration_ms);
  routineResults.set(rid, answerOf(routine));
  return positive(Control.start, u16Bytes(rid), answerOf(routine));
}

function stop({ now, clock }: EcuRuntime, { rid }: EcuRoutine, option: Uint8Array): Outcome {
  const until = now.routinesUntil.get(rid);
  if (until === undefined || clock.now() >= until) return negative(Nrc.requestSequenceError);
  if (option.length > 0) return negative(Nrc.incorrectMessageLength);
  now.routinesUntil.delete(rid);
  return positive(Control.stop, u16Bytes(rid));
}

/** While it runs it has none yet. */
function results(ecu: EcuRuntime, routine: EcuRoutine, option: Uint8Array): Outcome {
  const { rid } = routine;
  const isDone = ecu.now.routinesUntil.has(rid) && !isRunning(ecu, rid);
  const result = isDone ? answerOf(routine) : ecu.now.routineResults.get(rid);
  if (result === undefined && !isRunning(ecu, rid)) return negative(Nrc.requestSequenceError);
  if (option.length > 0) return negative(Nrc.incorrectMessageLength);
  if (result === undefined) return negative(Nrc.conditionsNotCorrect);
  return positive(Control.results, u16Bytes(rid), result);
}

function isRunning({ now, clock }: EcuRuntime, rid: number): boolean {
  return clock.now() < (now.routinesUntil.get(rid) ?? -Infinity);
}

function answerOf({ answer }: EcuRoutine): Buffer {
  return Buffer.from(answer, "hex");
}
