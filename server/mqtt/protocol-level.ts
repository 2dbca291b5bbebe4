import type { Client } from "aedes";
import { parserOf, type PacketParser } from "./aedes-internals.ts";

/** The levels that are spoken here, by protocol name: MQTT 3.1.1, and 3.1 before it. */
const LEVELS: ReadonlyMap<string, number> = new Map([
  ["MQTT", 4],
  ["MQIsdp", 3],
]);

/** CONNACK with return code 1, unacceptable protocol level (MQTT 3.1.1 §3.2.2.3). */
const UNACCEPTABLE_LEVEL = Buffer.of(0x20, 2, 0, 0x01);
/** The same for who reads MQTT 5: reason code 0x84, no properties (MQTT 5 §3.2.2.2). */
const UNSUPPORTED_VERSION = Buffer.of(0x20, 3, 0, 0x84, 0);

/**
 * Answers a CONNECT of another protocol level, then closes the connection (MQTT 3.1.1 §3.1.2.2,
 * [MQTT-3.1.2-2]). The parser would close it without an answer, and takes 0x84 for 4. Another
 * protocol name is left to the parser, which closes without an answer, as [MQTT-3.1.2-1] allows.
 */
export function refuseOtherLevels(client: Client): void {
  const parser = parserOf(client);
  const parsePayload = parser._parsePayload.bind(parser);
  let refused = false;
  parser._parsePayload = () => {
    if (refused) return false;
    // A second CONNECT is an error of its own (§3.1.0-2), and aedes knows it.
    const isFirst = !client.connecting && !client.connected;
    const other = isFirst ? otherProtocol(parser) : undefined;
    if (other === undefined) return parsePayload();
    refused = true;
    const error = new Error(`${other.name} of level ${other.level} is not spoken here`);
    client.conn.write(other.level === 5 ? UNSUPPORTED_VERSION : UNACCEPTABLE_LEVEL, () =>
      parser.emit("error", error),
    );
    return false;
  };
}

/** What a complete CONNECT names (§3.1.2), if its level is not the one of its protocol name. */
function otherProtocol({
  packet,
  _list: list,
}: PacketParser): { name: string; level: number } | undefined {
  if (packet.cmd !== "connect" || list.length < packet.length) return undefined;
  const [high = 0, low = 0, ...rest] = list.slice(0, Math.min(packet.length, 16));
  const end = high * 256 + low;
  const name = String.fromCharCode(...rest.slice(0, end));
  const level = rest[end];
  const spoken = LEVELS.get(name);
  if (level === undefined || spoken === undefined || level === spoken) return undefined;
  return { name, level };
}
