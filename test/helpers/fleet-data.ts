import { randomBytes, randomUUID } from "node:crypto";
import type { Vci } from "#protocol/api/vci.ts";
import type { Target } from "#server/updates/update.ts";
import type { Caller } from "./gateway.ts";

/** A small vehicle: two zones, three ECUs. */
export function sampleVci(versions: Record<string, string> = {}): Vci {
  const ecu = (ecu_id: string, zone_id: string, ecu_type: string) => ({
    ecu_id,
    zone_id,
    ecu_type,
    hardware_version: "HW-1.0",
    software_version: versions[ecu_id] ?? "1.0.0",
  });
  return {
    zones: [{ zone_id: "ZG-FRONT" }, { zone_id: "ZG-REAR" }],
    ecus: [
      ecu("ECU_001", "ZG-FRONT", "brake"),
      ecu("ECU_002", "ZG-FRONT", "steering"),
      ecu("ECU_003", "ZG-REAR", "lights"),
    ],
  };
}

/** What an update has for one of its ECUs. */
export function sampleTarget(change: Partial<Target> = {}): Target {
  return {
    ecu_id: "ECU_001",
    zone_id: "ZG-FRONT",
    ecu_type: "brake",
    hardware_version: "HW-1.0",
    firmware_id: randomUUID(),
    from_version: "1.0.0",
    to_version: "1.2.3",
    ...change,
  };
}

export interface Upload {
  ecu_type: string;
  version: string;
  image?: Buffer;
  fields?: Record<string, string>;
  /** Send the file before the fields. */
  fileFirst?: boolean;
}

/** A multipart form as curl and browsers send it. */
export function uploadForm({ ecu_type, version, image, fields, fileFirst }: Upload): {
  type: string;
  body: Buffer;
} {
  const boundary = `form-${randomBytes(8).toString("hex")}`;
  const values = { ecu_type, version, hardware_versions: "HW-1.0", channel: "stable", ...fields };
  const texts = Object.entries(values).map(([name, value]) =>
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    ),
  );
  const file = [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="image.bin"\r\n` +
        "Content-Type: application/octet-stream\r\n\r\n",
    ),
    image ?? randomBytes(50_000),
    Buffer.from("\r\n"),
  ];
  const parts = fileFirst ? [...file, ...texts] : [...texts, ...file];
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
  };
}

/** Publishes an image. @returns the firmware */
export async function publish(admin: Caller, upload: Upload) {
  const answer = await admin.send("POST", "/api/v1/firmware", { raw: uploadForm(upload) });
  if (answer.status !== 201) throw new Error(`upload failed: ${answer.bytes.toString()}`);
  return answer.json as {
    firmware_id: string;
    sha256: string;
    size: number;
    compressed_size: number;
  };
}
