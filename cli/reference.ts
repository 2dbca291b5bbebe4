import { CampaignSummary } from "#protocol/api/campaign.ts";
import { Firmware, FirmwareDetail } from "#protocol/api/firmware.ts";
import { path } from "./answering.ts";
import { GatewayError } from "./gateway-error.ts";
import type { Gateway } from "./gateway.ts";
import { queryOf, readPages } from "./listing.ts";
import { UsageError } from "./usage-error.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A firmware by its id, or as `brake-controller@2.0.0`. @throws UsageError, GatewayError */
export async function firmwareId(gateway: Gateway, reference: string): Promise<string> {
  if (UUID.test(reference)) return reference;
  const [, ecu_type, version] = /^([^@]+)@([^@]+)$/.exec(reference) ?? [];
  if (ecu_type === undefined || version === undefined) {
    throw new UsageError(
      `${reference} is neither the id of a firmware nor brake-controller@2.0.0.`,
    );
  }
  const at = `/firmware${queryOf({ ecu_type, version })}`;
  const { items } = await readPages(gateway, Firmware, { path: at, most: undefined });
  const found = items.find((each) => each.version === version);
  if (found) return found.firmware_id;
  throw new UsageError(
    `There is no ${ecu_type} ${version}: latticeway firmware list --ecu-type ${ecu_type}`,
  );
}

/** What people call each, with its id. @throws GatewayError */
export async function firmwareNames(gateway: Gateway, ids: readonly string[]): Promise<string[]> {
  const names: string[] = [];
  for (const id of ids) {
    const read = gateway.get(path`/firmware/${id}`, FirmwareDetail);
    const name = ({ ecu_type, version }: FirmwareDetail) => `${ecu_type}@${version} (${id})`;
    names.push(await read.then(name).catch(outOfScope(id)));
  }
  return names;
}

/** For what is looked up beside what was asked: a token may be for that alone. */
export function outOfScope<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof GatewayError && error.code === "SCOPE_REQUIRED") return instead;
    throw error;
  };
}

/** So many of the same name are told apart; the last ones are meant, most of the time. */
const ALIKE = 5;

/** A campaign by its id, or by its name where one alone has it. @throws UsageError, GatewayError */
export async function campaignId(
  gateway: Gateway,
  reference: string,
  state?: string,
): Promise<string> {
  if (UUID.test(reference)) return reference;
  const { items } = await readPages(gateway, CampaignSummary, {
    path: "/campaigns",
    query: { name: reference, state },
    most: ALIKE,
  });
  const [first, ...others] = items;
  if (first === undefined) {
    throw new UsageError(
      `No campaign ${state ? `in state ${state} ` : ""}is called ${reference}: latticeway campaign list`,
    );
  }
  if (others.length > 0) {
    const which = items.map((each) => `${each.campaign_id} (${each.state})`).join(", ");
    throw new UsageError(
      `Several campaigns are called ${reference}; say which by its id, of the last ones: ${which}`,
    );
  }
  return first.campaign_id;
}
