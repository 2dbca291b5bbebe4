import { fileURLToPath } from "node:url";
import { run } from "./child.ts";
import { comparison, type BenchContext, type Figure } from "./figure.ts";
import { insidePeers } from "./peers.ts";
import { alternate } from "./sample.ts";

const LEAST_RATIO = 0.8;

/**
 * Director targets that one core issues, beside the raw speed of OpenSSL for the same pair of
 * signatures. @throws PeerMissing
 */
export async function measureIssuing({ quick, say }: BenchContext): Promise<Figure> {
  const seconds = quick ? 1 : 4;
  let bytes = 0;
  const runs = await alternate(quick ? 2 : 5, {
    gateway: async () => {
      const issued = await issue(seconds);
      bytes = issued.bytes;
      say(`  issued: ${issued.rate.toFixed(0)}/s`);
      return issued.rate;
    },
    openssl: async () => {
      const rate = await rawPairs(seconds);
      say(`  openssl speed: ${rate.toFixed(0)} pairs/s`);
      return rate;
    },
  });
  return {
    title: "Issuing director targets",
    notes: [
      `Targets for a vehicle with 4 ECUs (${bytes} bytes), built, put into canonical form and signed by ECDSA P-256 and ML-DSA-65, on one core, without database and network. \`openssl speed\` of Debian's OpenSSL 3.5 signs with one key after the other on the same core; its pairs a second are 1 / (1 / ECDSA + 1 / ML-DSA).`,
    ],
    rows: [
      comparison(
        "director targets",
        "/s",
        runs.gateway,
        { name: "openssl speed", runs: runs.openssl },
        LEAST_RATIO,
      ),
    ],
  };
}

async function issue(seconds: number): Promise<{ rate: number; bytes: number }> {
  const program = fileURLToPath(new URL("./issuing-work.ts", import.meta.url));
  const command = [process.execPath, program, String(seconds * 1000)];
  const { output } = await run(command, { core: "server" });
  return JSON.parse(output) as { rate: number; bytes: number };
}

async function rawPairs(seconds: number): Promise<number> {
  const ecdsa = await rawRate("ecdsap256", /nistp256\)(?:\s+[\d.]+s){2}\s+([\d.]+)/, seconds);
  const mlDsa = await rawRate(
    "ML-DSA-65",
    /ML-DSA-65(?:\s+[\d.]+s){3}\s+[\d.]+\s+([\d.]+)/,
    seconds,
  );
  return 1 / (1 / ecdsa + 1 / mlDsa);
}

async function rawRate(algorithm: string, rate: RegExp, seconds: number): Promise<number> {
  const command = ["openssl", "speed", "-elapsed", "-seconds", String(seconds), algorithm] as const;
  const { output } = await run(insidePeers().command(...command), { core: "server" });
  const found = rate.exec(output)?.[1];
  if (found === undefined) throw new Error(`openssl speed did not finish:\n${output}`);
  return Number(found);
}
