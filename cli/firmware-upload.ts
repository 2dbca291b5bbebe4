import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { Command } from "commander";
import { FirmwareDetail } from "#protocol/api/firmware.ts";
import { SbomSummary } from "#protocol/api/sbom.ts";
import { answered, answering, path } from "./answering.ts";
import type { Gateway, Upload } from "./gateway.ts";
import { integer, names, oneOf } from "./option-values.ts";
import { byteText, progressBar } from "./progress-bar.ts";
import { requirement, type Requirement } from "./requirement.ts";
import { UsageError } from "./usage-error.ts";

/** What is said of an image, in the names of the API's form. */
export interface ImageFields {
  ecu_type: string;
  version: string;
  hardware_versions: readonly string[];
  channel: string;
  min_current_version?: string | undefined;
  requires?: readonly Requirement[] | undefined;
  critical?: boolean | undefined;
  release_notes?: string | undefined;
  build_number?: number | undefined;
  rxswin?: string | undefined;
  availability?: string | undefined;
}

interface Options {
  ecuType: string;
  version: string;
  hardware: string[];
  channel: string;
  minCurrentVersion?: string;
  requires?: Requirement[];
  critical?: true;
  notes?: string;
  notesFile?: string;
  buildNumber?: number;
  rxswin?: string;
  availability?: string;
  sbom?: string;
}

/** `latticeway firmware upload` */
export function uploadCommand(): Command {
  const command = new Command("upload")
    .description("Publish an image")
    .argument("<file>", "the image")
    .requiredOption("--ecu-type <type>", "type of ECU that it is made for")
    .requiredOption("--version <version>", "semantic version")
    .requiredOption("--hardware <versions>", "hardware that it runs on: HW-1.0,HW-1.1", names)
    .addOption(oneOf("--channel <name>", "who is offered it", ["stable", "beta"]).default("stable"))
    .addOption(
      oneOf("--availability <how>", "to every vehicle on its channel, or by campaigns only", [
        "channel",
        "campaign",
      ]),
    )
    .option("--min-current-version <version>", "it is not installed over anything older")
    .option("--requires <need>", "of other ECUs: brake-controller>=2.0.0; repeatable", requirement)
    .option("--critical", "mark it as critical")
    .option("--notes <text>", "release notes")
    .option("--notes-file <file>", "release notes from a file")
    .option("--build-number <n>", "of the build that made it", integer(0, Number.MAX_SAFE_INTEGER))
    .option("--rxswin <id>", "RxSWIN of the regulated software that it belongs to (UN R156)")
    .option("--sbom <file>", "CycloneDX document of what is in it");
  return answering<Options>(command, {
    examples: [
      "latticeway firmware upload brake.bin --ecu-type brake-controller --version 2.0.0 --hardware HW-1.0",
      "latticeway firmware upload brake.bin --ecu-type brake-controller --version 3.0.0 --hardware HW-1.0,HW-1.1 \\\n      --availability campaign --min-current-version 2.0.0 --requires 'steering>=1.4.0' --sbom brake.cdx.json",
    ],
    run: async (gateway, options, file) =>
      answered(await publish(gateway, file ?? "", options), (firmware) =>
        [
          `Published ${firmware.ecu_type} ${firmware.version} as ${firmware.firmware_id}.`,
          `${byteText(firmware.size)}, ${byteText(firmware.compressed_size)} to download, SHA-256 ${firmware.sha256}`,
          ...firmware.warnings.map(({ code, detail }) => `Warning: ${detail} (${code})`),
          ...(firmware.publication === "awaiting_signature"
            ? ["Vehicles get it once it is signed: latticeway trust pending"]
            : []),
        ].join("\n"),
      ),
  });
}

async function publish(gateway: Gateway, file: string, options: Options): Promise<FirmwareDetail> {
  const { ecuType, version, hardware, minCurrentVersion, notes, notesFile, buildNumber } = options;
  if (notes !== undefined && notesFile !== undefined) {
    throw new UsageError("--notes and --notes-file don't go together.");
  }
  const sbom = options.sbom === undefined ? undefined : await readFile(options.sbom);
  const { channel, requires, critical, rxswin, availability } = options;
  const firmware = await uploadImage(gateway, file, {
    ...{ channel, requires, critical, rxswin, availability, version },
    ecu_type: ecuType,
    hardware_versions: hardware,
    min_current_version: minCurrentVersion,
    release_notes: notesFile === undefined ? notes : await readFile(notesFile, "utf8"),
    build_number: buildNumber,
  });
  if (sbom === undefined) return firmware;
  return { ...firmware, sbom: await putSbom(gateway, firmware.firmware_id, sbom) };
}

export async function putSbom(gateway: Gateway, firmwareId: string, document: Buffer) {
  const headers = { "content-type": "application/vnd.cyclonedx+json" };
  const to = path`/firmware/${firmwareId}/sbom`;
  return gateway.upload("PUT", to, { headers, body: document }, SbomSummary);
}

/** Sends an image of any size as it is read. @throws GatewayError */
export async function uploadImage(
  gateway: Gateway,
  file: string,
  fields: ImageFields,
): Promise<FirmwareDetail> {
  const { size } = await stat(file);
  const bar = progressBar(size);
  try {
    const form = imageForm(file, size, fields, (bytes) => bar.add(bytes));
    return await gateway.upload("POST", "/firmware", form, FirmwareDetail);
  } finally {
    bar.end();
  }
}

/** SHA-256 of a file, as the gateway tells that of an image. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(file)) hash.update(part as Buffer);
  return hash.digest("hex");
}

/** RFC 7578: the fields first, so that what is wrong with them is found before the file is sent. */
function imageForm(
  file: string,
  size: number,
  fields: ImageFields,
  onSent: (bytes: number) => void,
): Upload {
  const boundary = `latticeway-${randomUUID()}`;
  const { hardware_versions, requires, ...plain } = fields;
  const texts = {
    ...plain,
    hardware_versions: hardware_versions.join(","),
    requires: requires && JSON.stringify(requires),
  };
  const head = Object.entries(texts)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => part(boundary, `name="${name}"`, `\r\n${value}\r\n`));
  const quoted = basename(file).replaceAll(/["\\\r\n]/g, "_");
  const type = "Content-Type: application/octet-stream\r\n\r\n";
  const before = Buffer.from(
    head.join("") + part(boundary, `name="file"; filename="${quoted}"`, type),
  );
  const after = Buffer.from(`\r\n--${boundary}--\r\n`);
  async function* body(): AsyncGenerator<Buffer> {
    yield before;
    for await (const piece of createReadStream(file)) {
      yield piece as Buffer;
      onSent((piece as Buffer).length);
    }
    yield after;
  }
  const headers = {
    "content-type": `multipart/form-data; boundary=${boundary}`,
    "content-length": String(before.length + size + after.length),
  };
  return { headers, body: body() };
}

function part(boundary: string, disposition: string, rest: string): string {
  return `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n${rest}`;
}
