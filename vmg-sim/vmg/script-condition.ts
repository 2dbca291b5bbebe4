import { fromHex } from "#protocol/bytes/hex.ts";
import type { ScriptCondition } from "#protocol/mqtt/diagnostic-script.ts";
import { Sid } from "#protocol/uds/service.ts";

/** Does it hold for the answers so far? Of an answer that did not come nothing holds but `not`. */
export function holds(
  condition: ScriptCondition,
  answers: ReadonlyMap<string, Uint8Array>,
): boolean {
  const answer = answers.get(condition.answer);
  const fits = answer !== undefined && isSuch(answer, condition) && hasBytes(answer, condition);
  return fits !== (condition.not ?? false);
}

/** Empty is what an ECU says to a request that suppresses the positive answer: nothing is wrong. */
export function isNegative(answer: Uint8Array): boolean {
  return answer[0] === Sid.negativeResponse;
}

function isSuch(answer: Uint8Array, { is }: ScriptCondition): boolean {
  if (is === undefined) return true;
  if (is === "positive") return !isNegative(answer);
  if (!isNegative(answer)) return false;
  return is === "negative" || answer[2] === Number.parseInt(is, 16);
}

function hasBytes(answer: Uint8Array, { offset = 0, mask, equals }: ScriptCondition): boolean {
  if (equals === undefined) return true;
  const wanted = fromHex(equals) ?? [];
  const masks = fromHex(mask ?? "") ?? [];
  return [...wanted].every((byte, at) => {
    const got = answer[offset + at];
    const under = masks[at] ?? 0xff;
    return got !== undefined && (got & under) === (byte & under);
  });
}
