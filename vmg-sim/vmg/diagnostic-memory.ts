import { Type, type Static } from "typebox";
import { DiagnosticResponse, type DiagnosticErrorCode } from "#protocol/mqtt/diagnostics.ts";
import { stateFile } from "./state-file.ts";

const Outcome = Type.Omit(DiagnosticResponse, ["request_id", "attempt", "ecu_id"]);
type Outcome = Static<typeof Outcome>;

const Persisted = Type.Array(
  Type.Object({ request_id: Type.String(), outcome: Type.Optional(Outcome) }),
);

/** What recent requests came to, so that a repeat is answered and not carried out again. */
export interface DiagnosticMemory {
  /** Notes on disk that a request that changes something is about to be carried out. */
  begin(requestId: string): Promise<void>;
  /** Notes what it came to; on disk when it had begun there. */
  remember(requestId: string, outcome: Outcome): Promise<void>;
  recall(requestId: string): Outcome | undefined;
}

const IN_MEMORY = 256;
const ON_DISK = 64;

/** A request that was under way when the VMG was killed: nobody knows whether it took effect. */
const interrupted: Outcome = {
  success: false,
  error: {
    code: "UDS_TIMEOUT" satisfies DiagnosticErrorCode,
    message: "the VMG was restarted meanwhile; the request may have taken effect",
  },
};

export async function openDiagnosticMemory(file: string): Promise<DiagnosticMemory> {
  const state = stateFile(file, Persisted);
  /** In order of age; undefined while the request is under way. */
  const changing = new Map<string, Outcome | undefined>();
  for (const { request_id, outcome } of (await state.read()) ?? []) {
    changing.set(request_id, outcome ?? interrupted);
  }
  const reading = new Map<string, Outcome>();
  const save = () => {
    keepNewest(changing, ON_DISK);
    return state.write(
      [...changing].map(([request_id, outcome]) => ({ request_id, ...(outcome && { outcome }) })),
    );
  };
  return {
    begin(requestId) {
      changing.set(requestId, undefined);
      return save();
    },
    async remember(requestId, outcome) {
      if (changing.has(requestId)) {
        changing.set(requestId, outcome);
        await save();
        return;
      }
      reading.set(requestId, outcome);
      keepNewest(reading, IN_MEMORY);
    },
    recall: (requestId) => changing.get(requestId) ?? reading.get(requestId),
  };
}

function keepNewest(entries: Map<string, unknown>, most: number): void {
  for (const key of entries.keys()) {
    if (entries.size <= most) return;
    entries.delete(key);
  }
}
