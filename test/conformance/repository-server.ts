import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import type { TestRepository } from "#test/protocol/uptane/test-repository.ts";

export interface RepositoryServer {
  metadataUrl: string;
  targetsUrl: string;
  /** What was asked for, below metadata and targets. */
  asked: string[];
  /** What is served as targets, by the name in the URL. */
  targets: Map<string, Buffer>;
  /** Files whose answer never ends. */
  endless: Set<string>;
}

/** Serves a repository on a port of its own until the test ends; with a certificate over https. */
export async function serveRepository(
  { files }: TestRepository,
  tls?: ServerOptions,
): Promise<RepositoryServer> {
  const asked: string[] = [];
  const targets = new Map<string, Buffer>();
  const endless = new Set<string>();
  const listener: RequestListener = (request, response) => {
    const [, kind, ...rest] = (request.url ?? "").split("/");
    const name = rest.join("/");
    asked.push(name);
    const body = kind === "metadata" ? files.get(name) : targets.get(name);
    if (endless.has(name)) {
      const more = () => {
        while (response.write(Buffer.alloc(65_536, " ")));
      };
      response.on("drain", more);
      more();
    } else if (body === undefined) response.writeHead(404).end();
    else response.end(body);
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const url = `${tls ? "https://localhost" : "http://127.0.0.1"}:${port}`;
  return { metadataUrl: `${url}/metadata`, targetsUrl: `${url}/targets`, asked, targets, endless };
}
