import { join } from "node:path";
import { run } from "./child.ts";
import { comparison, type BenchContext, type Figure } from "./figure.ts";
import { openFleet, vciOf, type Fleet } from "./fleet.ts";
import { startGateway } from "./gateway.ts";
import { alternate } from "./sample.ts";
import type { Vehicle } from "./workspace.ts";

const IMAGES = 8;
const MIB = 1024 * 1024;

/** Megabytes a second of assembling a package of uploaded images, beside `cat FILE | sha256sum`. */
export async function measureAssembly({ workspace, quick, say }: BenchContext): Promise<Figure> {
  await using gateway = await startGateway(workspace, { name: "gateway-assembly", anyCore: true });
  const fleet = openFleet(gateway, workspace);
  const types = Array.from({ length: IMAGES }, (_, index) => `bench-${index}`);
  const imageBytes = ((quick ? 40 : 200) / IMAGES) * 1e6;
  for (const ecuType of types) {
    await fleet.publish({ ecuType, version: "2.0.0", bytes: imageBytes });
  }
  const vehicles = workspace.vehicles.values();
  const file = join(workspace.place("assembly"), "package.tar");
  const first = await assemble(fleet, next(vehicles), types);
  await fleet.download(first.vehicle, first.path, file);

  const rounds = quick ? 2 : 7;
  const runs = await alternate(rounds, {
    gateway: async () => {
      const { bytes, seconds } = await assemble(fleet, next(vehicles), types);
      say(`  gateway: ${(bytes / 1e6 / seconds).toFixed(0)} MB/s`);
      return bytes / 1e6 / seconds;
    },
    shell: async () => {
      const { seconds } = await run(["sh", "-c", 'cat "$0" | sha256sum', file]);
      say(`  cat | sha256sum: ${(first.bytes / 1e6 / seconds).toFixed(0)} MB/s`);
      return first.bytes / 1e6 / seconds;
    },
  });
  await fleet.close();
  return {
    title: "Assembling a package",
    notes: [
      `${IMAGES} images of ${Math.round(imageBytes / MIB)} MiB that no compression makes smaller, uploaded before by the same process. Each round a vehicle asks for them under zone names of its own, so that the package is not there yet; the time is that of its whole \`POST /ota/package\`: plan, two signatures, one read for the checksum, database. Both sides read from the page cache, on any core.`,
    ],
    rows: [
      comparison("assembly", "MB/s", runs.gateway, {
        name: "cat | sha256sum",
        runs: runs.shell,
      }),
    ],
  };
}

/** Has a vehicle that was never seen ask for a package that was never assembled. */
async function assemble(fleet: Fleet, vehicle: Vehicle, ecuTypes: readonly string[]) {
  await fleet.register(vehicle);
  await fleet.submitVci(vehicle, vciOf(`ZG-${vehicle.vin}`, ecuTypes));
  const began = performance.now();
  const { size, download_url } = await fleet.requestPackage(vehicle);
  const seconds = (performance.now() - began) / 1000;
  return { vehicle, path: download_url, bytes: size, seconds };
}

function next(vehicles: Iterator<Vehicle>): Vehicle {
  const { value, done } = vehicles.next();
  if (done === true) throw new Error("more rounds than vehicles");
  return value;
}
