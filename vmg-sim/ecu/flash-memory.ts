import { createHash } from "node:crypto";
import { open, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import {
  emptyBank,
  type Bank,
  type BankState,
  type EcuState,
  type StateStore,
} from "./state-file.ts";

const READ_BYTES = 1024 * 1024;
const HEADER_BYTES = 256;
/** In the header of an image that is to fail, for those who want to see what comes of a bad release. */
const FAULTY = "self-test: fails";

/** The two banks of an ECU: one runs, the spare one can be written. */
export interface FlashMemory {
  /** Version of the image that runs. */
  readonly version: string;
  /** The running image is the one to stay; otherwise it is on trial or about to be left. */
  readonly settled: boolean;
  /** The running image was started on trial and is still neither confirmed nor given up. */
  readonly onTrial: boolean;
  readonly spare: BankState;
  /** Does the running image say of itself that it does not pass its self test? */
  isFaulty(): Promise<boolean>;
  /** Picks the bank to run, as a start of the ECU does. */
  boot(): Promise<void>;
  /** Empties the spare bank. */
  erase(): Promise<void>;
  /** Opens the empty spare bank for writing. */
  openSpare(): Promise<FileHandle>;
  /** The spare bank has taken the whole image of `length` bytes. */
  finishSpare(length: number): Promise<void>;
  /** Hashes the spare bank; false when it is not the expected image. */
  verify(sha256: Uint8Array, version: string): Promise<boolean>;
  /** The verified spare bank fits this ECU and may be tried. */
  accept(): Promise<void>;
  /** The next start tries the spare bank. */
  arm(): Promise<void>;
  /** The image on trial stays. */
  confirm(): Promise<void>;
  /** The next start runs the spare bank, for good; false when it is not one that has proven itself. */
  revert(): Promise<boolean>;
}

/** Flash memory as two files beside the ECU's state; `boot` comes first. */
export function flashMemory(folder: string, store: StateStore): FlashMemory {
  let running = store.current.active;
  const file = (bank: Bank) => join(folder, `bank-${bank}.bin`);
  const spareFile = () => file(other(running));
  const update = (change: Partial<EcuState>) => store.save({ ...store.current, ...change });
  const updateBank = (bank: Bank, state: BankState, change: Partial<EcuState> = {}) =>
    update({ ...change, banks: { ...store.current.banks, [bank]: state } });
  const updateSpare = (state: BankState, change: Partial<EcuState> = {}) =>
    updateBank(other(running), state, change);

  const memory: FlashMemory = {
    get version() {
      return store.current.banks[running].version;
    },
    get settled() {
      return running === store.current.active;
    },
    get onTrial() {
      return !memory.settled && store.current.trial === "running";
    },
    get spare() {
      return store.current.banks[other(running)];
    },
    isFaulty: async () => (await headerOf(file(running))).includes(FAULTY),
    async boot() {
      const { trial, active, banks } = store.current;
      const candidate = other(active);
      const tries = trial === "armed" && (await isWhole(file(candidate), banks[candidate]));
      running = tries ? candidate : active;
      // Written down before it runs: if it never comes back, the next start takes the old one.
      if (trial !== "none") await update({ trial: tries ? "running" : "none" });
    },
    async erase() {
      // Written down first: whatever a kill leaves in the file, it is never started.
      await updateSpare(emptyBank, { trial: "none" });
      await truncate(spareFile());
    },
    async openSpare() {
      await updateSpare({ ...emptyBank, status: "partial" });
      return open(spareFile(), "w", 0o600);
    },
    finishSpare: (length) => updateSpare({ ...emptyBank, status: "written", length }),
    async verify(sha256, version) {
      const found = await hashFile(spareFile());
      const { length } = memory.spare;
      if (!found.equals(sha256)) {
        await updateSpare({ ...emptyBank, status: "written", length });
        return false;
      }
      const status = "verified";
      await updateSpare({ status, version, length, sha256: found.toString("hex") });
      return true;
    },
    accept: () => updateSpare({ ...memory.spare, status: "bootable" }),
    arm: () => update({ trial: "armed" }),
    confirm() {
      const proven: BankState = { ...store.current.banks[running], status: "proven" };
      return updateBank(running, proven, { active: running, trial: "none" });
    },
    async revert() {
      const { status } = memory.spare;
      if (status !== "proven" || !(await isWhole(spareFile(), memory.spare))) return false;
      await update({ active: other(running), trial: "none" });
      return true;
    },
  };
  return memory;
}

function other(bank: Bank): Bank {
  return bank === "a" ? "b" : "a";
}

async function truncate(file: string): Promise<void> {
  const handle = await open(file, "w", 0o600);
  await handle.close();
}

/** The factory's image has no bytes on disk; any other bank has as many as were written. */
async function isWhole(file: string, bank: BankState): Promise<boolean> {
  if (bank.length === 0) return bank.status === "proven";
  const found = await stat(file).catch(() => undefined);
  return found?.size === bank.length;
}

/** Empty for the factory's image. */
async function headerOf(file: string): Promise<Buffer> {
  const handle = await open(file, "r").catch(() => undefined);
  try {
    const read = await handle?.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    return read?.buffer ?? Buffer.alloc(0);
  } finally {
    await handle?.close();
  }
}

async function hashFile(file: string): Promise<Buffer> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  const handle = await open(file, "r");
  try {
    for (let read = await handle.read(buffer); read.bytesRead > 0;) {
      hash.update(buffer.subarray(0, read.bytesRead));
      read = await handle.read(buffer);
    }
  } finally {
    await handle.close();
  }
  return hash.digest();
}
