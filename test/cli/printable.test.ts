import { createServer } from "node:http";
import { mkdir, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";
import { trust } from "./run-trust.ts";

/** Names a gateway that always answers this. */
async function answering(status: number, body: unknown): Promise<void> {
  const server = createServer((_request, response) =>
    response.writeHead(status).end(JSON.stringify(body)),
  );
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  vi.stubEnv("LATTICEWAY_URL", `http://127.0.0.1:${port}`);
  vi.stubEnv("LATTICEWAY_TOKEN", "token");
  vi.stubEnv("LATTICEWAY_CA", "");
  onTestFinished(() => {
    vi.unstubAllEnvs();
    server.close();
  });
}

async function shown(...args: string[]): Promise<string> {
  const { output, errors } = await trust(...args);
  return output + errors;
}

/** A window title, an emptied screen, a colour, a turned word, and a line of its own. */
const EVIL = "\u001b]0;x\u0007\u001b[2J\u009b31m\u202egpj\r\nimage targets 9: published";
const HARMLESS = "\\u001b]0;x\\u0007\\u001b[2J\\u009b31m\\u202egpj\\u000d\\u000aimage targets 9";
const ACTIVE = /(?!\n)[\p{Cc}\p{Bidi_Control}]/u;

describe("what a gateway writes is shown, and acts on no terminal", () => {
  test("in tables and around them", async () => {
    const role = { role: EVIL, version: 1, expires_at: "2030-01-01T00:00:00.000Z", live: true };
    const roles = [{ ...role, signed_by: "gateway", key_ids: [] }];
    const image = { roles: [], vehicles: [] };
    const director = { roles, vehicles: [] };
    await answering(200, { mode: EVIL, awaiting_signature: 0, director, image });
    const text = await shown("status", "--gateway");
    expect(text.split(HARMLESS)).toHaveLength(3);
    expect(text).not.toMatch(ACTIVE);
  });

  test("in lines", async () => {
    const folder = join(testFolder(), "image");
    await mkdir(folder);
    const file = join(folder, "1.root.json");
    await writeFile(file, "{}");
    const published = { repository: "image", role: "root", version: 1, live: false };
    await answering(200, { ...published, changed: true, waiting_for: [EVIL] });
    const text = await shown("publish", file);
    expect(text).toContain(HARMLESS);
    expect(text.split("\n")).toHaveLength(1);
    expect(text).not.toMatch(ACTIVE);
  });

  test("in errors", async () => {
    await answering(418, { code: EVIL, title: EVIL, detail: EVIL });
    const text = await shown("keys");
    expect(text).toContain("\\u001b[2J");
    expect(text.trimEnd().split("\n")).toHaveLength(1);
    expect(text).not.toMatch(ACTIVE);
  });

  test("in JSON, which stays what it is", async () => {
    const pending = { path: "a", length: 1, hashes: { sha256: "0".repeat(64) }, custom: { EVIL } };
    await answering(200, [pending]);
    const text = await shown("pending");
    expect(JSON.parse(text)).toEqual([pending]);
    expect(text).not.toMatch(ACTIVE);
  });
});
