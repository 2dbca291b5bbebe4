import { Agent, request } from "undici";
import { AddressRefused, isPublic, literalAddress, publicLookup } from "./public-address.ts";

export interface SenderSettings {
  allow_private: boolean;
  timeout_ms: number;
  /** Connections to one webhook. */
  concurrency: number;
}

/** What came of an attempt. */
export interface Answer {
  /** null: there was no answer. */
  status: number | null;
  /** As it was sent. */
  retryAfter?: string | undefined;
  error?: string | undefined;
}

export interface Sender {
  /** Never throws; an answer's body is of no interest. */
  post(url: string, headers: Record<string, string>, body: string): Promise<Answer>;
  /** Cuts off what is under way. */
  close(): Promise<void>;
}

/** What is read of an answer, so that its connection can be used again. */
const MAX_ANSWER_BYTES = 16_384;
const MAX_ERROR_CHARS = 300;
const KEEP_ALIVE_MS = 30_000;

/** Redirects are not followed: where they lead nobody has checked. */
export function createSender({ allow_private, timeout_ms, concurrency }: SenderSettings): Sender {
  const agent = new Agent({
    connections: concurrency,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect: { timeout: timeout_ms, ...(!allow_private && { lookup: publicLookup }) },
  });

  async function post(url: string, headers: Record<string, string>, body: string): Promise<Answer> {
    try {
      const address = literalAddress(new URL(url));
      if (!allow_private && address !== undefined && !isPublic(address)) {
        throw new AddressRefused(address);
      }
      const answer = await request(url, {
        method: "POST",
        dispatcher: agent,
        headers: { "content-type": "application/json", "user-agent": "Latticeway", ...headers },
        body,
        signal: AbortSignal.timeout(timeout_ms),
      });
      await answer.body.dump({ limit: MAX_ANSWER_BYTES });
      const retryAfter = answer.headers["retry-after"];
      return {
        status: answer.statusCode,
        retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
      };
    } catch (error) {
      return { status: null, error: describe(error, timeout_ms) };
    }
  }

  return { post, close: () => agent.destroy() };
}

function describe(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error).slice(0, MAX_ERROR_CHARS);
  if (error.name === "TimeoutError") return `no answer within ${timeoutMs} ms`;
  const { code } = error as NodeJS.ErrnoException;
  const text = code === undefined ? error.message : `${code}: ${error.message}`;
  return text.toWellFormed().replaceAll("\0", "").slice(0, MAX_ERROR_CHARS);
}
