import { valid } from "semver";
import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";
import type { TargetFile } from "./metadata.ts";
import { UptaneError } from "./uptane-error.ts";

const id = Type.String({ minLength: 1, maxLength: 256 });
const counter = Type.Integer({ minimum: 0 });

/**
 * What a director says of a target for one ECU: the `custom` of the target, or an item of
 * `custom.ecus` where several ECUs install the same image.
 */
export const EcuTarget = Type.Object({
  ecu_id: id,
  hardware_id: id,
  release_counter: counter,
  zone_id: Type.Optional(id),
  install_order: Type.Optional(Type.Integer({ minimum: 0 })),
  /** The file of the package that holds the image, as the vehicle downloads it. */
  package: Type.Optional(
    Type.Object({
      id,
      sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }),
      length: counter,
      path: id,
      encoding: id,
    }),
  ),
});
export type EcuTarget = Static<typeof EcuTarget>;

/** What the image repository says of an image, apart from its bytes: the `custom` of the target. */
const ImageCustom = Type.Object({
  ecu_type: Type.Optional(id),
  hardware_ids: Type.Array(id, { minItems: 1 }),
  version: Type.Optional(id),
  release_counter: counter,
  requires: Type.Optional(Type.Unknown()),
  min_current_version: Type.Optional(id),
});

/** Who installs a target. Other directors need not count releases, ours always does. */
export type Assigned = Omit<EcuTarget, "release_counter"> & { release_counter?: number };

/** What an image may be installed on. */
export interface ImageTraits {
  ecu_type?: string;
  hardware_ids: readonly string[];
  release_counter?: number;
  /** The lowest version of an ECU's software that it may be installed over. */
  min_current_version?: string;
}

const optionalCounter = { releaseCounter: Type.Optional(counter) };
const director = {
  one: Compile(EcuTarget),
  several: Compile(Type.Object({ ecus: Type.Array(EcuTarget, { minItems: 1 }) })),
  /** Uptane POUF 1. */
  pouf: Compile(Type.Object({ ecuIdentifier: id, hardwareIdentifier: id, ...optionalCounter })),
  /** The directors that aktualizr reads. */
  aktualizr: Compile(
    Type.Object({
      ecuIdentifiers: Type.Record(id, Type.Object({ hardwareId: id }), { minProperties: 1 }),
      ...optionalCounter,
    }),
  ),
};
const image = {
  own: Compile(ImageCustom),
  pouf: Compile(Type.Object({ hardwareIdentifier: id, ...optionalCounter })),
  aktualizr: Compile(
    Type.Object({ hardwareIds: Type.Array(id, { minItems: 1 }), ...optionalCounter }),
  ),
};

/**
 * The ECUs of a director's target, as ours writes it or in the two other forms that are in use.
 * @throws UptaneError UPTANE_CUSTOM_MALFORMED
 */
export function assignedEcus(path: string, { custom }: TargetFile): Assigned[] {
  if (director.one.Check(custom)) return [custom];
  if (director.several.Check(custom)) return custom.ecus;
  if (director.pouf.Check(custom)) {
    const { ecuIdentifier: ecu_id, hardwareIdentifier: hardware_id } = custom;
    return [{ ecu_id, hardware_id, ...releaseCounter(custom) }];
  }
  if (director.aktualizr.Check(custom)) {
    return Object.entries(custom.ecuIdentifiers).map(([ecu_id, { hardwareId: hardware_id }]) => ({
      ecu_id,
      hardware_id,
      ...releaseCounter(custom),
    }));
  }
  throw malformed(path, "does not say which ECU and hardware it is for");
}

/** As {@link assignedEcus}, of the image repository. @throws UptaneError UPTANE_CUSTOM_MALFORMED */
export function imageTraits(path: string, { custom }: TargetFile): ImageTraits {
  if (image.own.Check(custom)) {
    const { min_current_version } = custom;
    if (min_current_version !== undefined && valid(min_current_version) === null) {
      throw malformed(path, "has a min_current_version that is none");
    }
    return custom;
  }
  if (image.pouf.Check(custom)) {
    return { hardware_ids: [custom.hardwareIdentifier], ...releaseCounter(custom) };
  }
  if (image.aktualizr.Check(custom)) {
    return { hardware_ids: custom.hardwareIds, ...releaseCounter(custom) };
  }
  throw malformed(path, "does not say which hardware it is for");
}

function releaseCounter(custom: { releaseCounter?: number }): { release_counter?: number } {
  return custom.releaseCounter === undefined ? {} : { release_counter: custom.releaseCounter };
}

function malformed(path: string, what: string): UptaneError {
  return new UptaneError("UPTANE_CUSTOM_MALFORMED", path, `its custom metadata ${what}`);
}
