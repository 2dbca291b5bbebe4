import { watch, type FSWatcher } from "node:fs";
import { join } from "node:path";
import type { Server as TlsServer } from "node:tls";
import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { loadServerIdentities, readPkiCertificates, vehicleCa } from "#crypto/pki.ts";
import { certificateFolders } from "#crypto/pki-layout.ts";
import { serverTlsOptions, type TlsIdentity } from "#crypto/tls.ts";
import type { Log } from "./log.ts";

/** What the listeners take from the certificates folder. */
export interface TlsFiles {
  identities: readonly TlsIdentity[];
  clientCa: string;
  /** The gateway's own and the authorities', by a name that stays: `server/ecdsa-p256`. */
  certificates: readonly { name: string; notAfter: Date }[];
}

/** @throws PkiError */
export async function loadTlsFiles(folder: string): Promise<TlsFiles> {
  return {
    identities: await loadServerIdentities(folder),
    clientCa: await vehicleCa(folder),
    certificates: await readPkiCertificates(folder),
  };
}

export interface TlsReload {
  /** What new handshakes are made with. */
  files(): TlsFiles;
  /** Reads the folder again. @returns whether what it holds is in use now */
  reload(): Promise<boolean>;
  stop(): void;
}

/** Files are replaced one after the other: wait for the last of them. */
const SETTLE_MS = 200;

/**
 * Gives new handshakes of these listeners the certificates and the client CA that lie in the folder,
 * whenever they change; connections that are open stay. What can't be used is logged, and the
 * certificates before it stay in use.
 */
export function reloadTlsFiles(settings: {
  folder: string;
  profiles: readonly number[];
  initial: TlsFiles;
  servers: readonly Pick<TlsServer, "setSecureContext">[];
  log: Log;
}): TlsReload {
  const { folder, profiles, servers, log } = settings;
  let current = settings.initial;
  let timer: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = Promise.resolve();

  async function load(): Promise<boolean> {
    try {
      const files = await loadTlsFiles(folder);
      const options = serverTlsOptions({ ...files, profiles, clientCertificates: "optional" });
      for (const server of servers) server.setSecureContext(options);
      current = files;
      log.info("Certificates read again: new connections use what the folder holds");
      return true;
    } catch (error) {
      log.error({ err: error }, "The certificates can't be used; those before stay in use");
      return false;
    }
  }
  const reload = () => {
    const next = last.then(load);
    last = next;
    return next;
  };
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => void reload(), SETTLE_MS).unref();
  };
  const watchers = watchFolders(folder, changed, log);
  return {
    files: () => current,
    reload,
    stop() {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** Without the vehicles' own certificates, which no listener shows. */
function watchFolders(folder: string, changed: () => void, log: Log): FSWatcher[] {
  const watchers: FSWatcher[] = [];
  for (const part of certificateFolders(KeyAlgorithm)) {
    if (part.startsWith("vehicles")) continue;
    try {
      const watcher = watch(join(folder, part), { persistent: false }, changed);
      watcher.on("error", (error) => log.warn({ err: error }, `${part} is not watched any more`));
      watchers.push(watcher);
    } catch {
      // There are no certificates of this algorithm.
    }
  }
  return watchers;
}
