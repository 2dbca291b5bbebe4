/** The verb of a method where the path ends with what it is about. */
const verbs: Record<string, string> = { put: "set", patch: "update" };

/** Last words of a path of GET that say what is done rather than to what. */
const actions: Record<string, string> = { export: "export", stream: "stream", events: "stream" };

/**
 * The name of an operation in the API's description, which is what generated clients call it:
 * `GET /api/v1/campaigns` is `listCampaigns`, `POST /api/v1/campaigns/{campaign_id}/start` is
 * `startCampaign`. A route whose path reads badly this way says its own.
 *
 * @param isList whether the answer is a page of a list
 */
export function operationId(method: string, path: string, isList: boolean): string {
  const segments = path
    .replace(/^\/api\/v\d+\//, "")
    .split("/")
    .filter(Boolean);
  const last = segments.at(-1) ?? "";
  if (last.startsWith("{")) return (verbs[method] ?? method) + nameOf(segments);
  const before = segments.slice(0, -1);
  if (method === "post") {
    const isCollection = singular(last) !== last;
    return isCollection
      ? `create${nameOf([...segments, "{}"])}`
      : uncapital(capital(last)) + nameOf(before);
  }
  if (method === "get" && last in actions && before.length > 0) {
    return `${actions[last]}${nameOf(before)}`;
  }
  return (method === "get" && isList ? "list" : (verbs[method] ?? method)) + nameOf(segments);
}

/** All words but the last are of one; so is the last when an id follows. */
function nameOf(segments: readonly string[]): string {
  return segments
    .filter((segment) => !segment.startsWith("{"))
    .map((word, index, words) =>
      capital(index < words.length - 1 || segments.at(-1)?.startsWith("{") ? singular(word) : word),
    )
    .join("");
}

function singular(word: string): string {
  return word.replace(/ies$/, "y").replace(/(?<=[^su])s$/, "");
}

function capital(word: string): string {
  return word.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function uncapital(word: string): string {
  return word.replace(/^[A-Z]/, (letter) => letter.toLowerCase());
}
