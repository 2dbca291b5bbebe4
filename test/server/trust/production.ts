import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { vi } from "vitest";
import { loadServerConfig, type ServerConfig } from "#config/server.ts";
import { ensureDevelopmentPki, serverCa } from "#crypto/pki.ts";
import { startApp } from "#server/app.ts";
import { ceremonyIn, type TestCeremony } from "#test/cli/ceremony-folder.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { testDatabase } from "#test/helpers/test-database.ts";
import { silentLog } from "#test/server/own-database.ts";

/** A gateway in production and its ceremony, which has the offline keys. */
export interface Production {
  config: Pick<ServerConfig, "certs_dir" | "data_dir" | "database" | "trust">;
  ceremony: TestCeremony;
  /** Tries to start with other settings. @returns the code that it ends with */
  refusal(trust?: Partial<ServerConfig["trust"]>): Promise<string>;
  start(): Promise<TestGateway>;
  remove(): Promise<void>;
}

export const PASSPHRASE = "correct horse battery staple";

/** Nothing is there yet but the certificates for TLS: neither keys nor roots. */
export async function newProduction(): Promise<Production> {
  const folder = temporaryFolder();
  const place = await testDatabase(join(folder.path, "data"));
  const defaults = loadServerConfig({});
  const config = {
    certs_dir: join(folder.path, "certs"),
    data_dir: join(folder.path, "data"),
    database: { url: place.url, pool_size: 5 },
    trust: { ...defaults.trust, mode: "production" as const, passphrase: PASSPHRASE },
  };
  await ensureDevelopmentPki(config.certs_dir, { algorithms: ["ecdsa-p256"] });
  await writeFile(join(folder.path, "passphrase"), `${PASSPHRASE}\n`);
  return {
    config,
    ceremony: ceremonyIn(folder.path, join(folder.path, "ceremony")),
    async refusal(trust = {}) {
      const { https, mqtt } = defaults;
      const listeners = { https: { ...https, port: 0 }, mqtt: { ...mqtt, port: 0 } };
      const all = { ...defaults, ...config, ...listeners, trust: { ...config.trust, ...trust } };
      try {
        await (await startApp(all, silentLog)).close();
        return "started";
      } catch (error) {
        return (error as { code?: string }).code ?? String(error);
      }
    },
    start: () => startGateway({ ...config, maintenance: { interval_s: 0.2 } }),
    async remove() {
      await place.drop();
      folder.remove();
    },
  };
}

/** The way to a first start: the gateway's keys, roots that name them, signed elsewhere. */
export async function startProduction(): Promise<Production & { gateway: TestGateway }> {
  const production = await newProduction();
  const { ceremony, config } = production;
  await production.refusal();
  const trust = join(config.certs_dir, "trust");
  await ceremony.run("init", "--online-keys", join(trust, "online-keys.json"));
  await ceremony.run("sign");
  for (const repository of ["director", "image"]) {
    const root = ceremony.file(repository, "1.root.json");
    await copyFile(root, join(trust, `${repository}.root.json`));
  }
  const gateway = await production.start();
  await nameGateway(gateway, ceremony.folder);
  return { ...production, gateway };
}

/** Lets `latticeway` find the gateway. */
async function nameGateway({ app, config, url }: TestGateway, folder: string): Promise<void> {
  const ca = join(folder, "ca.pem");
  await writeFile(ca, await serverCa(config.certs_dir));
  vi.stubEnv("LATTICEWAY_URL", url);
  vi.stubEnv("LATTICEWAY_CA", ca);
  vi.stubEnv("LATTICEWAY_TOKEN", (await readFile(app.tokenFile, "utf8")).trim());
}
