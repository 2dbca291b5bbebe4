import type { Client } from "aedes";
import { parserOf } from "./aedes-internals.ts";

/** Room for the topic and the packet's other fields beside the payload. */
const ENVELOPE = 1024;

/**
 * Closes a connection that announces a packet over the limit, before anything of it is buffered.
 * The parser would otherwise gather up to 256 MiB (MQTT 3.1.1 §2.2.3), and has no limit of its own.
 */
export function limitPackets(client: Client, payloadLimit: number): void {
  const parser = parserOf(client);
  const parseLength = parser._parseLength.bind(parser);
  parser._parseLength = () => {
    const complete = parseLength();
    if (complete && parser.packet.length > payloadLimit + ENVELOPE) {
      parser.emit("error", new Error(`packet of ${parser.packet.length} bytes is over the limit`));
      parser.packet.length = 0;
      client.conn.destroy();
      return false;
    }
    return complete;
  };
}
