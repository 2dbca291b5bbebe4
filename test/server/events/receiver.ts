import { createHmac, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  // What a test looks into.
  event: { id: string; kind: string; subject: string | null };
}

/** Somebody who takes webhooks, at a port of this machine. */
export async function receiver(answer: (response: ServerResponse, received: Received) => void) {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const event = JSON.parse(body) as Received["event"];
      received.push({ headers: request.headers, body, event });
      answer(response, { headers: request.headers, body, event });
      for (const look of waiting) look();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    /** Resolves when it has got so many. */
    got: (count: number) =>
      new Promise<void>((done) => {
        const look = () => {
          if (received.length < count) return;
          waiting.delete(look);
          done();
        };
        waiting.add(look);
        look();
      }),
    close: async () => {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/**
 * Whether a delivery is proven by a secret, as "Verifying signatures" of Standard Webhooks says:
 * HMAC-SHA256 by what follows `whsec_`, over id, timestamp and body, against each `v1` signature.
 */
export function isProven(secret: string, { headers, body }: Received, now: Date): boolean {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  const signatures = headers["webhook-signature"];
  if (!id || !timestamp || typeof signatures !== "string") return false;
  if (Math.abs(now.getTime() / 1000 - Number(timestamp)) > 300) return false;
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const expected = createHmac("sha256", key)
    .update(`${String(id)}.${String(timestamp)}.`)
    .update(body)
    .digest();
  return signatures.split(" ").some((each) => {
    const [version, signature = ""] = each.split(",");
    const bytes = Buffer.from(signature, "base64");
    return version === "v1" && bytes.length === 32 && timingSafeEqual(bytes, expected);
  });
}
