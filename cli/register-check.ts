import { Compile } from "typebox/compile";
import type { AuditEntry } from "#protocol/api/audit.ts";
import {
  EnteredRecords,
  REGISTER_ENTERED,
  RegisterEntry,
  registerHash,
} from "#protocol/api/register.ts";
import { jcs } from "#protocol/bytes/jcs.ts";
import { linesOf, parseLine } from "./lines.ts";

export type RegisterFaultCode =
  | "REGISTER_LINE_MALFORMED"
  | "REGISTER_RECORD_ALTERED"
  | "REGISTER_RECORD_REMOVED"
  | "REGISTER_RECORD_UNENTERED";

/** The first record that is not as the audit log has it. */
export class RegisterFault extends Error {
  readonly code: RegisterFaultCode;

  constructor(code: RegisterFaultCode, message: string) {
    super(message);
    this.name = "RegisterFault";
    this.code = code;
  }
}

/** Exports of a register, to be held to the audit log, which is verified for itself. */
export interface RegisterCheck {
  /** Takes an export; all of them come first. @throws RegisterFault */
  read(exported: AsyncIterable<Buffer>): Promise<void>;
  /**
   * Takes an entry of the audit log; all of them, in their order.
   * @param isWhole whether what it names has to be in the exports
   * @throws RegisterFault
   */
  hold(entry: AuditEntry, isWhole: boolean): void;
  /** @returns how many records there are @throws RegisterFault for one that the log does not have */
  end(): number;
}

interface Held {
  hash: string;
  audit_seq: number | null;
  isEntered: boolean;
}

const registerEntry = Compile(RegisterEntry);
const enteredRecords = Compile(EnteredRecords);

export function createRegisterCheck(): RegisterCheck {
  const records = new Map<string, Held>();
  return {
    async read(exported) {
      let line = 0;
      for await (const text of linesOf(exported, malformed)) {
        const { record, hash, audit_seq } = parsed(text, ++line);
        const { record_id, vin } = record;
        const name = `record ${record_id} of ${vin}`;
        if (registerHash(record) !== hash) throw altered(`${name} is not what was hashed`);
        const before = records.get(record_id);
        if (before !== undefined && before.hash !== hash) {
          throw altered(`${name} comes twice, with other words`);
        }
        records.set(record_id, { hash, audit_seq, isEntered: false });
      }
    },
    hold({ seq, action, detail }, isWhole) {
      if (action !== REGISTER_ENTERED || !enteredRecords.Check(detail)) return;
      for (const { record_id, hash } of detail.records) {
        const held = records.get(record_id);
        if (held !== undefined) enter(held, { record_id, hash, seq });
        else if (isWhole) {
          throw new RegisterFault(
            "REGISTER_RECORD_REMOVED",
            `record ${record_id} is missing: entry ${seq} of the audit log has it`,
          );
        }
      }
    },
    end() {
      for (const [record_id, { isEntered }] of records) {
        if (isEntered) continue;
        throw new RegisterFault(
          "REGISTER_RECORD_UNENTERED",
          `the audit log does not have record ${record_id}`,
        );
      }
      return records.size;
    },
  };
}

/** Whoever writes the log can enter an altered record, but not before what was entered first. */
function enter(held: Held, { record_id, hash, seq }: { record_id: string } & Entered): void {
  if (held.hash !== hash) {
    throw altered(`record ${record_id} is not what entry ${seq} of the audit log has`);
  }
  if (!held.isEntered && held.audit_seq !== null && held.audit_seq !== seq) {
    throw altered(
      `record ${record_id} names entry ${held.audit_seq} of the audit log: ${seq} has it`,
    );
  }
  held.isEntered = true;
}

interface Entered {
  hash: string;
  seq: number;
}

function parsed(text: Buffer, line: number): RegisterEntry {
  const entry = parseLine(text);
  // More than the hash covers, a member twice, another order: two readers would see two things.
  if (registerEntry.Check(entry) && Buffer.from(jcs(entry)).equals(text)) return entry;
  throw malformed(`line ${line} is no record as it is exported with --format json`);
}

function malformed(why: string): RegisterFault {
  return new RegisterFault("REGISTER_LINE_MALFORMED", why);
}

function altered(why: string): RegisterFault {
  return new RegisterFault("REGISTER_RECORD_ALTERED", why);
}
