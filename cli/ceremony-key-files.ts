import { keyFileNames, nameOfKey } from "#crypto/key-store.ts";
import { metadataKeys, type TrustedKeys } from "#protocol/uptane/key.ts";
import type { Metadata } from "#protocol/uptane/metadata.ts";
import type { Repository } from "./ceremony.ts";

/** What the ceremony's metadata says of a private key of this machine. */
export interface KeyFileUse {
  file: string;
  /** `director root`; undefined when nothing here names the key. */
  role: string | undefined;
  /** Which metadata names it now, or did last. */
  named: string;
}

/**
 * For which roles the private keys of a folder are. The keys are not opened: their files are called
 * by the public half, which the metadata has.
 */
export async function keyFileUses(
  folder: string,
  repositories: readonly Repository[],
): Promise<KeyFileUse[]> {
  const histories = repositories.flatMap((repository) => [
    rootHistory(repository),
    supplierHistory(repository),
  ]);
  return (await keyFileNames(folder)).flatMap((file) => {
    const uses = histories.flatMap((history) => usesIn(history, file));
    return uses.length > 0 ? uses : [{ file, role: undefined, named: "by nothing here" }];
  });
}

/** Files of keys by role, as one version of metadata names them. */
interface Naming {
  title: string;
  files: Map<string, Set<string>>;
}

/** Versions of the metadata that names a role's keys. */
interface History {
  past: readonly Naming[];
  current: Naming | undefined;
  draft: Naming | undefined;
}

function usesIn({ past, current, draft }: History, file: string): KeyFileUse[] {
  const names = (naming: Naming | undefined, role: string) => naming?.files.get(role)?.has(file);
  const all = [...past, current, draft].filter((naming) => naming !== undefined);
  const roles = new Set(all.flatMap(({ files }) => [...files.keys()]));
  return [...roles].flatMap((role) => {
    const last = all.findLast((naming) => names(naming, role));
    if (last === undefined) return [];
    if (last === draft) {
      const since = names(current, role) ? current : draft;
      return [{ file, role, named: `by ${since?.title}` }];
    }
    const after = all[all.indexOf(last) + 1];
    const until = after === undefined ? "" : `, no more by ${after.title}`;
    return [{ file, role, named: `by ${last.title}${until}` }];
  });
}

function rootHistory({ name, roots, drafts }: Repository): History {
  const naming = (state: string) => (root: Metadata<"root">) => ({
    title: `root ${root.signed.version}${state}`,
    files: new Map(
      Object.entries(root.signed.roles).map(([role, { keyids }]) => [
        `${name} ${role}`,
        filesOf(root.keys, keyids),
      ]),
    ),
  });
  const signed = roots.map(naming(""));
  return {
    past: signed.slice(0, -1),
    current: signed.at(-1),
    draft: drafts.root && naming(" (draft)")(drafts.root),
  };
}

/** Suppliers' keys stand in the targets; only the newest ones are read. */
function supplierHistory({ name, targets, drafts }: Repository): History {
  const naming = (file: Metadata<"targets"> | undefined, state: string) => {
    if (file === undefined) return undefined;
    const { version, delegations } = file.signed;
    const keys = metadataKeys(delegations?.keys ?? {});
    return {
      title: `targets ${version}${state}`,
      files: new Map(
        (delegations?.roles ?? []).map((role) => [
          `${name} ${role.name}`,
          filesOf(keys, role.keyids),
        ]),
      ),
    };
  };
  return {
    past: [],
    current: naming(targets.get("targets"), ""),
    draft: naming(drafts.targets.get("targets"), " (draft)"),
  };
}

function filesOf(keys: TrustedKeys, keyids: readonly string[]): Set<string> {
  const found = keyids.flatMap((id) => keys.get(id) ?? []);
  return new Set(found.map(({ publicKey }) => nameOfKey(publicKey.algorithm, publicKey.der)));
}
