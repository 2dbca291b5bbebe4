import { loadCatalogues } from "#config/catalogue.ts";
import type { Catalogues } from "#protocol/uds/catalogue.ts";
import type { Log } from "#server/runtime/log.ts";

/** The catalogues of a gateway that runs. */
export interface LiveCatalogues extends Catalogues {
  /** Reads the files again. @returns false when they can't be used: those from before stay */
  reload(): boolean;
}

/** @throws CatalogueError */
export function openCatalogues(folder: string, log: Log): LiveCatalogues {
  let current = loadCatalogues(folder);
  return {
    of: (ecuType) => current.of(ecuType),
    get ecuTypes() {
      return current.ecuTypes;
    },
    reload() {
      try {
        current = loadCatalogues(folder);
        log.info(`Diagnostic catalogue read again: ${current.ecuTypes.length} types of ECUs`);
        return true;
      } catch (error) {
        log.error({ err: error }, "The diagnostic catalogue is kept as it was");
        return false;
      }
    },
  };
}
