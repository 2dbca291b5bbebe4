import { MAX_NAME } from "#protocol/api/operator.ts";
import { ProblemError } from "#protocol/api/problem.ts";

/** A name as it is stored, and what no other name may have in common with it. */
export interface OperatorName {
  name: string;
  name_key: string;
}

/** Letters, marks, digits, and between them what names and addresses have. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._@+'-]*$/u;
/** Take no room, or look like a blank. */
const INVISIBLE = /\p{Default_Ignorable_Code_Point}/u;
/** Have letters that look like one another's. */
const LOOK_ALIKE = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u];

/**
 * A name in one form (NFKC, as RFC 8265 has it for the width of letters): who decides on somebody
 * else's work is told from them by it, so that nothing may look like it.
 * @throws ProblemError OPERATOR_NAME_INVALID
 */
export function operatorName(text: string): OperatorName {
  const name = text.normalize("NFKC");
  const fault = faultOf(name, text);
  if (fault !== undefined) throw new ProblemError("OPERATOR_NAME_INVALID", fault);
  return { name, name_key: nameKey(name) };
}

/** What a name is looked up by, however it was typed. */
export function nameKey(text: string): string {
  return text.normalize("NFKC").toLowerCase().normalize("NFKC");
}

function faultOf(name: string, text: string): string | undefined {
  if (name === "" || name.length > MAX_NAME) return `it has 1 to ${MAX_NAME} characters`;
  if (INVISIBLE.test(text)) return "it holds a character that can't be seen";
  if (!NAME.test(name)) {
    return "it begins with a letter or digit, and has only letters, digits, blanks and ._@+'-";
  }
  if (name.endsWith(" ") || name.includes("  ")) return "it has single blanks, and none at its end";
  if (LOOK_ALIKE.filter((script) => script.test(name)).length > 1) {
    return "it mixes alphabets whose letters look alike";
  }
  return undefined;
}
