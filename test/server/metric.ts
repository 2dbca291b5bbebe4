import type { TestGateway } from "#test/helpers/gateway.ts";

/** The value of a counter with exactly these labels, in the order that the gateway gives them. */
export async function metric(
  gateway: TestGateway,
  name: string,
  labels: Record<string, string>,
): Promise<number> {
  const { bytes } = await gateway.admin.send("GET", "/metrics");
  const list = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const start = `latticeway_${name}{${list.join(",")}} `;
  const line = bytes
    .toString()
    .split("\n")
    .find((each) => each.startsWith(start));
  return Number(line?.slice(start.length) ?? 0);
}
