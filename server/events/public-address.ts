import { lookup as resolve, type LookupAddress } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

/** The address of a webhook is one that only this network knows. */
export class AddressRefused extends Error {
  readonly code = "WEBHOOK_ADDRESS_REFUSED";

  constructor(address: string) {
    super(`${address} is no public address`);
    this.name = "AddressRefused";
  }
}

/** Special-purpose addresses by RFC 6890 and its registry, multicast (RFC 5771) and reserved. */
const notPublic = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const) {
  notPublic.addSubnet(network, prefix, "ipv4");
}
/** Within global unicast: what stands for other addresses (Teredo, 6to4), and examples. */
for (const [network, prefix] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const) {
  notPublic.addSubnet(network, prefix, "ipv6");
}
/** RFC 4291 §2.4: whatever else there is, is link-local, unique local, mapped, multicast … */
const globalUnicast = new BlockList();
globalUnicast.addSubnet("2000::", 3, "ipv6");

/** Whether anybody's packets get there. @param address IPv4 or IPv6, as text */
export function isPublic(address: string): boolean {
  if (isIP(address) === 4) return !notPublic.check(address, "ipv4");
  return (
    isIP(address) === 6 && globalUnicast.check(address, "ipv6") && !notPublic.check(address, "ipv6")
  );
}

/**
 * The address that a URL names itself, which nobody looks up.
 * @returns undefined where it names a host
 */
export function literalAddress({ hostname }: URL): string | undefined {
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(bare) === 0 ? undefined : bare;
}

/**
 * Looks a name up for the connection that is made with just these addresses; refuses a name with any
 * that is not public, so that nobody reaches inside by a name of their own.
 */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, "");
    const refused = addresses.find(({ address }) => !isPublic(address));
    if (refused) return callback(new AddressRefused(refused.address), "");
    answer(addresses, options.all === true, callback);
  });
};

function answer(
  addresses: LookupAddress[],
  all: boolean,
  callback: Parameters<LookupFunction>[2],
): void {
  const [first] = addresses;
  if (all || first === undefined) callback(null, addresses);
  else callback(null, first.address, first.family);
}
