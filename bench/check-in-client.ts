import type { TLSSocket } from "node:tls";
import { parseArgs } from "node:util";
import { quantile } from "./sample.ts";
import { vehicleSocket } from "./vehicle-socket.ts";

/**
 * Vehicles that ask one after the other on a connection of their own, each as soon as it has its
 * answer, for so many seconds. Prints how many a second, and how long an answer took.
 */
const { values, positionals: vins } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string", default: "" },
    ca: { type: "string", default: "" },
    certificates: { type: "string", default: "" },
    path: { type: "string", default: "" },
    seconds: { type: "string", default: "1" },
    /** What each answer has to have in it. */
    shows: { type: "string", default: "" },
  },
});
const WARM_UP_MS = 1500;

const sockets = await Promise.all(vins.map((vin) => vehicleSocket(values, vin)));
const took: number[] = [];
await askUntil(performance.now() + WARM_UP_MS);
took.length = 0;
const began = performance.now();
await askUntil(began + Number(values.seconds) * 1000);
const rate = took.length / ((performance.now() - began) / 1000);
took.sort((a, b) => a - b);
const figures = { rate, p50_ms: quantile(took, 0.5), p99_ms: quantile(took, 0.99) };
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0));

async function askUntil(end: number): Promise<void> {
  await Promise.all(
    sockets.map(async (socket, index) => {
      const request = requestOf(vins[index] ?? "");
      while (performance.now() < end) {
        const asked = performance.now();
        const answer = await exchange(socket, request);
        took.push(performance.now() - asked);
        if (!answer.startsWith("HTTP/1.1 200") || !answer.includes(values.shows))
          throw new Error(`not the answer that was expected:\n${answer.slice(0, 2000)}`);
      }
    }),
  );
}

function requestOf(vin: string): string {
  const body = JSON.stringify({ vin });
  const head = ["POST " + values.path + " HTTP/1.1", "host: localhost"];
  head.push("content-type: application/json", `content-length: ${body.length}`);
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

/** @returns the whole answer, which must say how long it is */
function exchange(socket: TLSSocket, request: string): Promise<string> {
  return new Promise((done, fail) => {
    let text = "";
    const end = (error?: Error) => {
      socket.off("data", take).off("close", closed).off("error", end);
      if (error) fail(error);
      else done(text);
    };
    const closed = () => end(new Error(`the connection was closed:\n${text}`));
    const take = (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const head = text.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = /content-length: (\d+)/i.exec(text)?.[1];
      if (length === undefined) end(new Error(`the answer has no length:\n${text}`));
      else if (text.length >= head + 4 + Number(length)) end();
    };
    socket.on("data", take).on("close", closed).on("error", end);
    socket.write(request);
  });
}
