import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { keyId, keyRecord, trustKeys } from "#protocol/uptane/key.ts";
import { signedBytes, type Signature } from "#protocol/uptane/signature.ts";
import { temporaryFolder } from "#test/crypto/connection.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { SAMPLE_ECUS, samplePackage, type Sample } from "./sample.ts";

const run = (program: string, ...args: string[]) =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

async function packageFile(sample: Sample): Promise<{ folder: string; file: string }> {
  const folder = await temporaryFolder();
  const file = join(folder, "package.tar");
  await writeFile(file, sample.bytes);
  return { folder, file };
}

describe("a package opens by hand", () => {
  test("with GNU tar and zstd", async (context) => {
    requirePeer(context, "tar");
    requirePeer(context, "zstd");
    const sample = await samplePackage();
    const { folder, file } = await packageFile(sample);
    const listing = run("tar", "--utc", "--full-time", "--numeric-owner", "-tvf", file).trim();
    const paths = sample.layout.manifest.zones.flatMap((zone) => zone.ecus.map((e) => e.path));
    expect(listing.split("\n").map((line) => line.split(/\s+/))).toEqual(
      ["manifest.json", "manifest.sigs.json", ...paths].map((path) => [
        "-rw-r--r--",
        "0/0",
        expect.stringMatching(/^\d+$/) as string,
        "1970-01-01",
        "00:00:00",
        path,
      ]),
    );
    run("tar", "-C", folder, "-xf", file);
    expect(await readFile(join(folder, "manifest.json"))).toEqual(sample.manifest);
    for (const { ecus } of sample.layout.manifest.zones) {
      for (const { path, ecu_id } of ecus) {
        run("zstd", "-q", "-d", join(folder, path), "-o", join(folder, ecu_id));
        expect(await readFile(join(folder, ecu_id))).toEqual(sample.images.get(ecu_id));
      }
    }
  });

  test("with names that need ustar's prefix or a pax record", async (context) => {
    requirePeer(context, "tar");
    const sample = await samplePackage(
      SAMPLE_ECUS.map((ecu, index) => ({
        ...ecu,
        zone_id: "Z".repeat(64),
        ecu_id: `${index}${"E".repeat(20 + index * 20)}`,
        version: `1.0.0-${"v".repeat(50)}`,
      })),
    );
    const { file } = await packageFile(sample);
    const paths = sample.layout.manifest.zones.flatMap((zone) => zone.ecus.map((e) => e.path));
    const lengths = paths.map((path) => path.split("/").at(-1)?.length ?? 0);
    expect(lengths.some((length) => length <= 100) && lengths.some((length) => length > 100)).toBe(
      true,
    );
    const listing = run("tar", "-tf", file).trim().split("\n");
    expect(listing).toEqual(["manifest.json", "manifest.sigs.json", ...paths]);
  });

  test("as the same bytes that GNU tar would write", async (context) => {
    requirePeer(context, "tar");
    const sample = await samplePackage();
    const { folder, file } = await packageFile(sample);
    run("tar", "-C", folder, "-xf", file);
    const names = run("tar", "-tf", file).trim().split("\n");
    const owner = ["--numeric-owner", "--owner=0", "--group=0"];
    const options = ["--format=ustar", ...owner, "--mtime=@0", "--mode=0644"];
    const again = join(folder, "again.tar");
    run("tar", "-C", folder, "-b", "1", ...options, "-cf", again, ...names);
    expect((await readFile(again)).equals(sample.bytes)).toBe(true);
  });

  test.for(["ecdsa-p256", "ml-dsa-65"] as const)(
    "%s verifies with openssl",
    async (algorithm, context) => {
      requirePeer(context, algorithm === "ml-dsa-65" ? "openssl-3.5" : "openssl");
      const sample = await samplePackage();
      const { folder, file } = await packageFile(sample);
      run("tar", "-C", folder, "-xf", file, "manifest.json", "manifest.sigs.json");
      const signer = sample.signers.find((one) => one.algorithm === algorithm);
      if (signer === undefined) throw new Error("no signer");
      const record = keyRecord(signer.publicKey);
      const [key] = trustKeys([record]).values();
      const { signatures } = JSON.parse(
        await readFile(join(folder, "manifest.sigs.json"), "utf8"),
      ) as { signatures: Signature[] };
      const signature = signatures.find(({ keyid }) => keyid === keyId(record));
      if (key === undefined || signature === undefined) throw new Error("no signature of this key");
      const at = (name: string) => join(folder, name);
      await writeFile(at("public.pem"), record.keyval.public);
      await writeFile(at("signature"), Buffer.from(signature.sig, "hex"));
      const verify = async (message: Uint8Array) => {
        await writeFile(at("message"), signedBytes(message, key.scheme));
        const digest = algorithm === "ecdsa-p256" ? ["-digest", "sha256"] : [];
        const input = ["-rawin", "-in", at("message"), "-sigfile", at("signature")];
        return run(
          "openssl",
          "pkeyutl",
          "-verify",
          "-pubin",
          "-inkey",
          at("public.pem"),
          ...digest,
          ...input,
        );
      };
      expect(await verify(await readFile(at("manifest.json")))).toContain("Verified Successfully");
      await expect(verify(Buffer.from("other"))).rejects.toThrow(
        /Verification Failure|Command failed/,
      );
    },
  );
});
