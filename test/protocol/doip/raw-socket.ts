import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { encodeFrame, type DoipMessage } from "#protocol/doip/frame.ts";

/** A TCP or TLS connection that shows what came back as it is. */
export interface RawSocket {
  /** Sends bytes given in hex, or a message. */
  send(...what: (string | DoipMessage)[]): void;
  /** Resolves with the next `length` bytes in hex. @throws when the connection ends before. */
  receive(length: number): Promise<string>;
  /** Resolves with all bytes that are left, in hex, once the other side has closed. */
  closed(): Promise<string>;
  readonly socket: Socket;
}

export async function rawSocket(port: number, tls?: ConnectionOptions): Promise<RawSocket> {
  const to = { host: "127.0.0.1", port };
  const socket = tls ? connectTls({ ...to, ...tls }) : connect(to);
  await new Promise((resolve, reject) => {
    socket.once(tls ? "secureConnect" : "connect", resolve);
    socket.once("error", reject);
  });
  let segments: Buffer[] = [];
  let length = 0;
  let ended = false;
  let wake = () => {};
  socket.on("data", (segment) => {
    segments.push(Buffer.from(segment));
    length += segment.length;
    wake();
  });
  // A reset ends the connection as much as a close does; the test sees what came before it.
  socket.on("error", () => {});
  socket.on("close", () => {
    ended = true;
    wake();
  });
  const more = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });

  return {
    socket,
    send(...what) {
      for (const part of what) {
        const bytes =
          typeof part === "string" ? Buffer.from(part, "hex") : Buffer.concat(encodeFrame(part, 2));
        socket.write(bytes);
      }
    },
    async receive(wanted) {
      while (length < wanted && !ended) await more();
      const received = Buffer.concat(segments);
      if (length < wanted) throw new Error(`closed after ${received.toString("hex")}`);
      segments = [received.subarray(wanted)];
      length -= wanted;
      return received.subarray(0, wanted).toString("hex");
    },
    async closed() {
      while (!ended) await more();
      return Buffer.concat(segments).toString("hex");
    },
  };
}
