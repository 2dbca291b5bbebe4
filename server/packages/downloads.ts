import { ProblemError } from "#protocol/api/problem.ts";

/** Downloads that are under way, per vehicle: each holds two buffers and an open file. */
export interface Downloads {
  /**
   * @returns ends it
   * @throws ProblemError DOWNLOADS_TOO_MANY
   */
  begin(vin: string): () => void;
}

export function limitDownloads(perVehicle: number): Downloads {
  const open = new Map<string, number>();
  return {
    begin(vin) {
      const count = open.get(vin) ?? 0;
      if (count >= perVehicle) throw new ProblemError("DOWNLOADS_TOO_MANY", `${count} are open`);
      open.set(vin, count + 1);
      return () => {
        const left = (open.get(vin) ?? 0) - 1;
        if (left > 0) open.set(vin, left);
        else open.delete(vin);
      };
    },
  };
}
