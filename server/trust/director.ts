import { ProblemError } from "#protocol/api/problem.ts";
import { parseManifest } from "#protocol/package/manifest.ts";
import { buildSnapshot, buildTargets, buildTimestamp } from "#protocol/uptane/build.ts";
import type { EcuTarget } from "#protocol/uptane/ecu-target.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { parseMetadata, type Metadata, type TargetFile } from "#protocol/uptane/metadata.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import type { Tx } from "#server/database/connection.ts";
import { imagesByIds } from "#server/firmware/queries.ts";
import { packageById } from "#server/packages/queries.ts";
import { lockVehicle } from "#server/vehicles/queries.ts";
import {
  directorState,
  insertIssue,
  wantedFor,
  type DirectorState,
  type WantedUpdate,
} from "./director-queries.ts";
import { imageFile, targetPath } from "./image-target.ts";
import { liveFile } from "./queries.ts";
import { inHours, isDue, nextVersion, type TrustDeps } from "./trust.ts";

/** A director's metadata for one vehicle at a time, signed when the vehicle asks. */
export interface Director {
  /**
   * The vehicle's timestamp. It and what it names are issued anew when they no longer say what is
   * wanted of the vehicle, or end soon; otherwise this is one query.
   * @throws ProblemError VEHICLE_NOT_REGISTERED, TRUST_KEY_MISSING
   */
  timestamp(vin: string): Promise<Buffer>;
}

export function createDirector(deps: TrustDeps): Director {
  const { db } = deps;
  /** The newest root, read once: it has a kilobyte for each of its keys. */
  let newest: Metadata<"root"> | undefined;

  async function rootOf(tx: Tx, version: number): Promise<Metadata<"root">> {
    if (newest?.signed.version === version) return newest;
    const bytes = await liveFile(tx, "director", "root", version);
    if (bytes === undefined) throw new TypeError(`the director has no root ${version}`);
    newest = parseMetadata("root", bytes);
    return newest;
  }

  return {
    async timestamp(vin) {
      const now = new Date();
      const state = await directorState(db, vin);
      if (state === undefined) throw new ProblemError("VEHICLE_NOT_REGISTERED", vin);
      if (isCurrent(state, deps, now)) return state.issue.timestamp;
      return db.transaction().execute(async (tx) => {
        // Of requests that come together the first one issues.
        await lockVehicle(tx, vin);
        const locked = await directorState(tx, vin);
        if (locked === undefined) throw new ProblemError("VEHICLE_NOT_REGISTERED", vin);
        if (isCurrent(locked, deps, now)) return locked.issue.timestamp;
        const root = await rootOf(tx, locked.root_version);
        return issue(deps, tx, vin, { state: locked, root, now });
      });
    },
  };
}

function isCurrent(
  state: DirectorState,
  { config }: TrustDeps,
  now: Date,
): state is DirectorState & { issue: NonNullable<DirectorState["issue"]> } {
  const { issue: last } = state;
  return (
    last !== null &&
    last.update_id === state.update_id &&
    last.vci_id === state.vci_id &&
    last.root_version === state.root_version &&
    !isDue(last.expires_at, config.director_h, config, now)
  );
}

/** Signs the three files under one version and stores them. @returns the timestamp */
async function issue(
  { keys, config }: TrustDeps,
  tx: Tx,
  vin: string,
  { state, root, now }: { state: DirectorState; root: Metadata<"root">; now: Date },
): Promise<Buffer> {
  const { update_id, vci_id, root_version } = state;
  const wanted = await wantedFor(tx, vin);
  const next = {
    version: nextVersion(state.issue?.version, now),
    expires: inHours(now, config.director_h),
  };
  const content = {
    targets: wanted.package_id === null ? {} : await assignment(tx, wanted, wanted.package_id),
    custom: { vin, ...(wanted.nonce !== null && { nonce: wanted.nonce }) },
  };
  const { version } = next;
  const targets = await signMetadata(
    buildTargets(next, content),
    await keys.signersFor(root, "targets"),
  );
  const snapshot = await signMetadata(
    buildSnapshot(next, { targets: { version, bytes: targets } }),
    await keys.signersFor(root, "snapshot"),
  );
  const timestamp = await signMetadata(
    buildTimestamp(next, { version, bytes: snapshot }),
    await keys.signersFor(root, "timestamp"),
  );
  const files = { timestamp, snapshot, targets };
  const expires_at = next.expires;
  await insertIssue(tx, { vin, version, root_version, update_id, vci_id, expires_at, ...files });
  return timestamp;
}

interface Assigned {
  file: TargetFile;
  ecus: EcuTarget[];
}

/** The image of each ECU of the open update, by path: an image may be for several ECUs. */
async function assignment(
  tx: Tx,
  { ecus }: WantedUpdate,
  packageId: string,
): Promise<Record<string, TargetFile>> {
  const found = await packageById(tx, packageId);
  if (found === undefined) return {};
  const members = parseManifest(found.manifest).zones.flatMap((zone) =>
    zone.ecus.map((ecu) => ({ ...ecu, zone_id: zone.zone_id })),
  );
  const ids = [...new Set(members.map(({ firmware_id }) => firmware_id))];
  const images = new Map((await imagesByIds(tx, ids)).map((each) => [each.firmware_id, each]));
  const byPath = new Map<string, Assigned>();
  for (const member of members) {
    const image = images.get(member.firmware_id);
    const own = ecus.find(({ ecu_id }) => ecu_id === member.ecu_id);
    // An ECU that the vehicle no longer reports can't be told what to install.
    if (image === undefined || own === undefined) continue;
    const path = targetPath(image);
    const target: Assigned = byPath.get(path) ?? { file: imageFile(image), ecus: [] };
    byPath.set(path, target);
    target.ecus.push({
      ecu_id: member.ecu_id,
      hardware_id: hardwareId(own.ecu_type, own.hardware_version),
      release_counter: releaseCounter(image.version),
      zone_id: member.zone_id,
      install_order: member.install_order,
      package: {
        id: packageId,
        sha256: member.sha256,
        length: member.length,
        path: member.path,
        encoding: member.encoding,
      },
    });
  }
  return Object.fromEntries(
    [...byPath].map(
      ([
        path,
        {
          file,
          ecus: [first, ...more],
        },
      ]) => [
        path,
        { ...file, custom: more.length === 0 ? { ...first } : { ecus: [first, ...more] } },
      ],
    ),
  );
}
