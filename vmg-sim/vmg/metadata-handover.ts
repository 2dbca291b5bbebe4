import { Did, findDid } from "#protocol/uds/did.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { METADATA_ADDRESS } from "#protocol/uds/programming.ts";
import { NegativeResponseError } from "#protocol/uds/response.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  DEFAULT_SESSION,
  ecuTalk,
  enterProgramming,
  type EcuAccess,
  type EcuTalk,
} from "./ecu-talk.ts";
import { transfer } from "./flash-transfer.ts";
import type { UdsLink } from "./uds-link.ts";

/** The director's metadata for whoever trusts this version of its root. */
export type MetadataFor = (knownRoot: number) => Promise<Uint8Array>;

/**
 * Has an ECU, or a zonal gateway, verify the director's metadata without anything being written.
 * @returns bytes of metadata; 0 for one that verifies nothing
 * @throws UptaneError with the ECU's own refusal; NegativeResponseError, UdsLinkError, …
 */
export async function letVerify(
  link: UdsLink,
  target: number,
  { securityKey, signal }: EcuAccess,
  metadata: MetadataFor,
): Promise<number> {
  const ecu = ecuTalk(link, target, signal);
  if ((await trustedRoot(ecu)) === undefined) return 0;
  await enterProgramming(ecu, securityKey);
  const length = await handMetadata(ecu, metadata);
  await ecu.ask([Sid.diagnosticSessionControl, DEFAULT_SESSION]);
  return length;
}

/** As {@link letVerify}, in the programming session and unlocked. */
export async function handMetadata(ecu: EcuTalk, metadata: MetadataFor): Promise<number> {
  const root = await trustedRoot(ecu);
  if (root === undefined) return 0;
  const bundle = await metadata(root);
  const { length } = bundle;
  await transfer(ecu, { bytes: once(bundle), address: METADATA_ADDRESS, length });
  await ecu.run("verify metadata", Rid.verifyMetadata);
  return length;
}

/** The version of the director's root that the ECU trusts; undefined when it knows no director. */
async function trustedRoot(ecu: EcuTalk): Promise<number | undefined> {
  const did = Did.trustedRootVersion;
  try {
    const answer = await ecu.ask([Sid.readDataByIdentifier, did >> 8, did & 0xff]);
    const version = findDid(did)?.codec.decode(answer.subarray(2));
    return typeof version === "number" ? version : undefined;
  } catch (error) {
    if (error instanceof NegativeResponseError && error.wireCode === Nrc.requestOutOfRange) {
      return undefined;
    }
    throw error;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
