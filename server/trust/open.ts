import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import { readPassphrase } from "#crypto/passphrase.ts";
import { openOfflineRoles, type OfflineRoles } from "./development.ts";
import { createDirector, type Director } from "./director.ts";
import { makeKeys, nextKeys } from "./key-rotation.ts";
import { openOnlineKeys } from "./online-keys.ts";
import { reconcileImages } from "./published-images.ts";
import { liveFile, lockRepository, madeKeys } from "./queries.ts";
import { ensureRoots, REPOSITORIES } from "./roots.ts";
import { ONLINE_ROLES, TrustError, type TrustDeps } from "./trust.ts";
import { watchExpiry } from "./watch.ts";

/** Uptane as the gateway runs it. */
export interface Trust extends TrustDeps {
  director: Director;
  /** An image or what is said of it has changed: signs it (development), or sees what is signed. */
  imagesChanged(now?: Date): Promise<void>;
  /**
   * Where the gateway signs images itself, there must be room for one more; in production they wait.
   * @throws ProblemError TRUST_TARGETS_FULL
   */
  demandRoom(): Promise<void>;
  /** A round of maintenance. */
  maintain(now: Date): Promise<void>;
}

/**
 * Opens the keys in `{certsDir}/trust` and makes sure that there are roots. In development everything
 * that is missing is made.
 * @throws TrustError TRUST_*; KeyStoreError KEY_STORE_*; ProblemError TRUST_KEY_MISSING; UptaneError
 */
export async function openTrust(base: Omit<TrustDeps, "keys">, certsDir: string): Promise<Trust> {
  const { config } = base;
  const folder = join(certsDir, "trust");
  const passphrase = await readPassphrase(config.passphrase_file, config.passphrase);
  if (config.mode === "production" && passphrase === undefined) {
    const what = "trust.mode is production, where the signing keys are encrypted";
    const advice = "set trust.passphrase_file or LATTICEWAY_TRUST_PASSPHRASE";
    throw new TrustError("TRUST_PASSPHRASE_MISSING", `${what}: ${advice}`);
  }
  if (config.mode === "production" && existsSync(join(folder, "offline"))) {
    const what = `${join(folder, "offline")} holds root and release keys of a development gateway`;
    const advice = "production begins with a certs_dir and a database of its own";
    throw new TrustError("TRUST_DEVELOPMENT_KEYS", `${what}: ${advice} (docs/security.md)`);
  }
  const acceptPlain = config.mode === "development";
  const keys = await openOnlineKeys(join(folder, "online"), passphrase, { acceptPlain });
  const deps = { ...base, keys };
  const offline =
    config.mode === "development"
      ? await openOfflineRoles(deps, join(folder, "offline"), passphrase)
      : undefined;
  if (offline === undefined) await offerKeys(deps, join(folder, "online-keys.json"));
  await ensureRoots(deps, folder, offline?.makeRoot);
  const imagesChanged = settleImages(deps, offline);
  await imagesChanged();
  const watch = watchExpiry(deps);
  await watch(new Date());
  return {
    ...deps,
    director: createDirector(deps),
    imagesChanged,
    demandRoom: async () => offline?.demandRoom(),
    async maintain(now) {
      // Renews development's targets, and tries again what had failed.
      if (await offline?.areDue(now)) await imagesChanged(now);
      await watch(now);
    },
  };
}

/**
 * Without a root there is nobody who could ask for the public keys over HTTPS: they are left in a
 * file for the ceremony.
 */
async function offerKeys(deps: TrustDeps, file: string): Promise<void> {
  const isNew = await deps.db.transaction().execute(async (tx) => {
    await lockRepository(tx, "director");
    if ((await liveFile(tx, "director", "root")) !== undefined) return false;
    const made = await madeKeys(tx);
    for (const repository of REPOSITORIES) {
      for (const role of ONLINE_ROLES[repository]) {
        const isMade = made.some((key) => key.repository === repository && key.role === role);
        if (!isMade) await makeKeys({ ...deps, db: tx }, repository, role);
      }
    }
    return true;
  });
  if (isNew) await writeFile(file, `${JSON.stringify(await nextKeys(deps.db), null, 2)}\n`);
}

/** What failed is logged and tried again; the image waits meanwhile, which is what its state says. */
function settleImages(deps: TrustDeps, offline: OfflineRoles | undefined) {
  return async (now = new Date()): Promise<void> => {
    try {
      await (offline === undefined
        ? deps.db.transaction().execute((tx) => reconcileImages(tx))
        : offline.signTargets(now));
    } catch (error) {
      deps.log.error({ err: error }, "Images could not be signed; they wait");
    }
    await deps.imagesSettled?.();
  };
}
