import { parseArgs } from "node:util";
import { generate, parser, type Packet } from "mqtt-packet";
import type { DiagnosticRequest, DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import { topicOf } from "#protocol/mqtt/topic.ts";
import { pause } from "./until.ts";
import { vehicleSocket } from "./vehicle-socket.ts";

/**
 * Vehicles that come back all at once and answer each diagnostic request as soon as they get it, in
 * a process of its own. Ends when as many answers as are expected are acknowledged, which the gateway
 * does when it has stored them, or when nothing comes any more. Prints {@link Answered}.
 */
export interface Answered {
  /** From the first connection to the last acknowledgement. */
  seconds: number;
  /** Answers that the gateway has acknowledged. */
  acknowledged: number;
  /** The request of each message, in the order in which they came. */
  requests: string[];
}

const { values, positionals: vins } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string", default: "" },
    ca: { type: "string", default: "" },
    certificates: { type: "string", default: "" },
    expected: { type: "string", default: "" },
  },
});

const SILENCE_MS = 30_000;
/** What comes twice may come late. */
const AFTERMATH_MS = 2_000;
const KEEPALIVE_S = 600;

const requests: string[] = [];
let began: number | undefined;
let last = 0;
let acknowledged = 0;
const { promise: over, resolve: end } = Promise.withResolvers<void>();
const silence = setTimeout(end, SILENCE_MS);

await Promise.all(vins.map(comeBack));
await over;
await pause(AFTERMATH_MS);
const answered: Answered = { seconds: (last - (began ?? last)) / 1000, acknowledged, requests };
process.stdout.write(`${JSON.stringify(answered)}\n`, () => process.exit(0));

async function comeBack(vin: string): Promise<void> {
  const socket = await vehicleSocket(values, vin);
  const topic = topicOf(vin, "diagnostics");
  const send = (packet: Packet) => socket.write(generate(packet));
  let answers = 0;
  const take = (packet: Packet) => {
    switch (packet.cmd) {
      case "connack":
        if (packet.returnCode !== 0) throw new Error(`${vin} was refused`);
        began ??= performance.now();
        send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 1 }] });
        break;
      case "publish": {
        const request = JSON.parse(packet.payload.toString()) as DiagnosticRequest;
        requests.push(request.request_id);
        send({ cmd: "puback", ...(packet.messageId && { messageId: packet.messageId }) });
        answers++;
        send({
          cmd: "publish",
          topic,
          payload: JSON.stringify(answerTo(request)),
          qos: 1,
          dup: false,
          retain: false,
          messageId: answers,
        });
        break;
      }
      case "puback":
        last = performance.now();
        acknowledged++;
        silence.refresh();
        if (acknowledged === Number(values.expected)) end();
        break;
      default:
    }
  };
  const packets = parser({ protocolVersion: 4 }).on("packet", take);
  socket.on("data", (chunk: Buffer) => packets.parse(chunk));
  socket.once("close", () => {
    process.stderr.write(`${vin}: connection closed\n`);
    process.exit(1);
  });
  send({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clientId: vin,
    clean: false,
    keepalive: KEEPALIVE_S,
  });
}

/** A positive response: the SID, and the DID that comes first in the services that are asked for. */
function answerTo(request: DiagnosticRequest): DiagnosticResponse {
  const { request_id, attempt, ecu_id, service_id, data } = request;
  const sid = (Number(service_id) + 0x40).toString(16).toUpperCase();
  const record = service_id === "0x22" ? "4C415454494345" : "";
  return {
    request_id,
    attempt,
    ...(ecu_id !== undefined && { ecu_id }),
    success: true,
    response_data: `${sid}${data.slice(0, 4)}${record}`,
  };
}
