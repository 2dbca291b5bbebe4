import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectPlain, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  connect,
  createServer,
  type Server,
  type ConnectionOptions,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import { onTestFinished } from "vitest";

/** A folder that disappears with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "latticeway-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Refusal {
  error: Error;
  socket: TLSSocket;
}

export interface TlsListener {
  /** Connects; resolves when both sides have finished the handshake. */
  connect(options: ConnectionOptions): Promise<{ client: TLSSocket; server: TLSSocket }>;
  /** Connects and resolves with what the server reports, which must be a refusal. */
  refused(options: ConnectionOptions): Promise<Refusal>;
  /** Sends text that is no TLS at all; resolves with what the server reports. */
  refusedPlain(text: string): Promise<Refusal>;
  /** Connects and resolves with the error that the client ends with. */
  clientError(options: ConnectionOptions): Promise<Error & { code?: string }>;
}

/** A TLS server on a free port, closed with the test. */
export async function tlsListener(options: TlsOptions): Promise<TlsListener> {
  const server = createServer(options);
  const sockets: TLSSocket[] = [];
  server.on("secureConnection", (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write("hello");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const open = (clientOptions: ConnectionOptions) => {
    const client = connect({ port, host: "127.0.0.1", servername: "localhost", ...clientOptions });
    sockets.push(client);
    return client;
  };
  return {
    async connect(clientOptions) {
      const accepted = once(server, "secureConnection");
      const client = open(clientOptions);
      await once(client, "secureConnect");
      const [socket] = (await accepted) as [TLSSocket];
      return { client, server: socket };
    },
    async refused(clientOptions) {
      const refusal = nextRefusal(server);
      open(clientOptions).on("error", () => {});
      return refusal;
    },
    async refusedPlain(text) {
      const refusal = nextRefusal(server);
      const socket = connectPlain({ port, host: "127.0.0.1" });
      socket.on("error", () => {});
      socket.end(text);
      return refusal;
    },
    async clientError(clientOptions) {
      const [error] = (await once(open(clientOptions), "error")) as [Error & { code?: string }];
      return error;
    },
  };
}

async function nextRefusal(server: Server): Promise<Refusal> {
  const [error, socket] = (await Promise.race([
    once(server, "tlsClientError"),
    once(server, "secureConnection").then(() => {
      throw new Error("the handshake was meant to be refused");
    }),
  ])) as [Error, TLSSocket];
  return { error, socket };
}
