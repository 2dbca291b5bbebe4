import type { Client } from "aedes";
import type { Packet } from "mqtt-packet";
import { parserOf } from "./aedes-internals.ts";

/** Closes a connection at a protocol violation that the parser lets by [MQTT-4.8.0-1]. */
export function closeAtViolations(client: Client): void {
  const parser = parserOf(client);
  const parsePayload = parser._parsePayload.bind(parser);
  parser._parsePayload = () => {
    const complete = parsePayload();
    const violation = complete && !parser.error ? violationOf(parser.packet) : undefined;
    if (violation === undefined) return complete;
    parser.emit("error", new Error(violation));
    return false;
  };
}

function violationOf(packet: Packet): string | undefined {
  switch (packet.cmd) {
    case "connect":
      if (Number(packet.will?.qos) > 2) return "will QoS 3 [MQTT-3.1.2-14]";
      if (packet.password !== undefined && packet.username === undefined)
        return "password without user name [MQTT-3.1.2-22]";
      return undefined;
    case "publish":
      if (packet.qos > 0) return withoutId(packet);
      return packet.dup ? "DUP with QoS 0 [MQTT-3.3.1-2]" : undefined;
    case "subscribe":
      if (packet.subscriptions.length === 0) return "SUBSCRIBE without filter [MQTT-3.8.3-3]";
      return withoutId(packet);
    case "unsubscribe":
      if (packet.unsubscriptions.length === 0) return "UNSUBSCRIBE without filter [MQTT-3.10.3-2]";
      return withoutId(packet);
    default:
      return undefined;
  }
}

function withoutId({ messageId }: Packet): string | undefined {
  return messageId === 0 ? "packet identifier 0 [MQTT-2.3.1-1]" : undefined;
}
