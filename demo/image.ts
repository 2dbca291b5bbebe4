import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** What the demo publishes: an image for three of the four ECUs. */
export const releases = [
  { ecu_type: "brake-controller", version: "1.2.3", critical: "true" },
  { ecu_type: "powertrain-controller", version: "1.1.0", critical: "false" },
  { ecu_type: "battery-controller", version: "2.0.0", critical: "false" },
] as const;

const TABLE_SIZE = 64 * 1024;
const IMAGE_SIZE = 3 * 1024 * 1024;

/**
 * Makes an image such as an ECU could have: a header that names it, code that does not compress and
 * tables that do.
 * @returns its file
 */
export async function makeImage(folder: string, name: string): Promise<string> {
  const header = Buffer.alloc(256);
  header.write(`Latticeway demo image ${name}`);
  const table = randomBytes(TABLE_SIZE);
  const tables = Array.from({ length: IMAGE_SIZE / TABLE_SIZE / 2 }, () => table);
  const file = join(folder, `${name}.bin`);
  await writeFile(file, Buffer.concat([header, randomBytes(IMAGE_SIZE / 2), ...tables]));
  return file;
}
