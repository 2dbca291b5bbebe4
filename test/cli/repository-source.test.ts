import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { openSource } from "#cli/repository-source.ts";
import { testFolder } from "#test/helpers/folder.ts";

/** A server that answers everything, and what it was shown as `Authorization`. */
async function listening(): Promise<{ url: string; shown: (string | undefined)[] }> {
  const shown: (string | undefined)[] = [];
  const server = createServer(({ headers }, response) => {
    shown.push(headers.authorization);
    response.end("{}");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, shown };
}

describe("a repository", () => {
  test("that is the gateway is shown the operator's token, and no other one", async () => {
    const [gateway, stranger] = [await listening(), await listening()];
    vi.stubEnv("LATTICEWAY_URL", gateway.url);
    vi.stubEnv("LATTICEWAY_TOKEN", "secret");
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    for (const { url } of [gateway, stranger]) {
      await openSource(`${url}/metadata`).fetch("1.root.json", 100);
    }
    expect([gateway.shown, stranger.shown]).toEqual([["Bearer secret"], [undefined]]);
  });

  test("in a folder gives no file beyond its bound", async () => {
    const folder = testFolder();
    await writeFile(join(folder, "1.root.json"), Buffer.alloc(100));
    const fetched = (maxBytes: number) => openSource(folder).fetch("1.root.json", maxBytes);
    expect(await fetched(100)).toHaveLength(100);
    await expect(fetched(99)).rejects.toMatchObject({ code: "UPTANE_METADATA_TOO_LARGE" });
  });
});
