import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";
import { connectOperator } from "#demo/operator.ts";
import type { TrustStatus } from "#protocol/api/trust.ts";
import { testFolder } from "#test/helpers/folder.ts";

const repository = join(import.meta.dirname, "../..");
const page = readFileSync(join(repository, "docs/security.md"), "utf8");

/** The commands of a section, block by block. */
function blocks(heading: string): string[] {
  const start = page.indexOf(`\n### ${heading}\n`);
  expect(start).toBeGreaterThan(0);
  const section = page.slice(start + 1).split(/\n##+ /)[0] ?? "";
  return [...section.matchAll(/```sh\n(.*?)```/gs)].map(([, commands = ""]) => commands);
}

interface Terminal {
  folder: string;
  /** Runs commands; what they export stays. @returns their output, or what they failed with */
  run: (commands: string) => { output: string; errors: string; status: number | null };
  /** Runs commands of which the last goes on until the test ends. @returns the gateway's address */
  start: (commands: string) => Promise<string>;
}

/** A shell as a newcomer has it, in the folder where `npm ci` was run. */
function terminal(): Terminal {
  const folder = testFolder();
  let exports = "";
  const env = {
    ...process.env,
    LATTICEWAY_HTTPS_PORT: "0",
    LATTICEWAY_MQTT_PORT: "0",
    LATTICEWAY_LOG_FORMAT: "json",
    DATABASE_URL: "",
    // Typed by hand otherwise.
    CEREMONY_PASSPHRASE: "correct horse battery staple",
  };
  // The programs of this tree, run in a folder of the test's own.
  const tools = `
npm() {
  if [ "$*" = "run certs" ]; then "${process.execPath}" "${repository}/certs/issue.ts"
  else exec "${process.execPath}" "${repository}/server/main.ts"; fi
}
npx() { shift; LATTICEWAY_TRUST_PASSPHRASE=$CEREMONY_PASSPHRASE "${process.execPath}" "${repository}/cli/latticeway.js" "$@"; }
`;
  const script = (commands: string) => `set -e\n${tools}\n${exports}\n${commands}`;
  const keep = (commands: string) => {
    exports += (commands.match(/^export .*$/gm) ?? []).map((line) => `${line}\n`).join("");
  };
  return {
    folder,
    run(commands) {
      const { stdout, stderr, status } = spawnSync("bash", ["-c", script(commands)], {
        cwd: folder,
        env,
        encoding: "utf8",
      });
      keep(commands);
      return { output: stdout, errors: stderr, status };
    },
    async start(commands) {
      const child = spawn("bash", ["-c", script(commands)], { cwd: folder, env });
      const ended = new Promise<void>((done) => child.once("exit", () => done()));
      onTestFinished(async () => {
        child.kill("SIGTERM");
        await ended;
      });
      let errors = "";
      child.stderr.on("data", (text: Buffer) => (errors += text.toString()));
      const port = await new Promise<string>((found, fail) => {
        createInterface({ input: child.stdout }).on("line", (line) => {
          const [, number] = /API: https:\/\/localhost:(\d+)/.exec(line) ?? [];
          if (number !== undefined) found(number);
        });
        void ended.then(() => fail(new Error(`the gateway ended: ${errors}`)));
      });
      keep(commands);
      return `https://localhost:${port}`;
    },
  };
}

function succeed({ run }: Terminal, commands: string | undefined): string {
  expect(commands).toBeTruthy();
  const { output, errors, status } = run(commands ?? "false");
  expect(errors).toBe("");
  expect(status).toBe(0);
  return output;
}

describe("docs/security.md", () => {
  test("leads a newcomer from the first start through release and rotation", async () => {
    const shell = terminal();
    const [first = "", begin, install = "", publish = ""] = blocks("First start");
    const stopped = shell.run(first);
    expect(stopped.status).not.toBe(0);
    expect(stopped.errors).toContain("director.root.json is missing");
    expect(existsSync(join(shell.folder, "certs/trust/online-keys.json"))).toBe(true);

    expect(succeed(shell, begin)).toContain("signed by all who must");
    const url = await shell.start(install);
    const operator = await connectOperator(
      url,
      readFileSync(join(shell.folder, "data/operator.token"), "utf8").trim(),
      join(shell.folder, "certs"),
    );
    onTestFinished(() => operator.close());
    const status = () => operator.get<TrustStatus>("/uptane/status");
    expect(publish).toContain("https://localhost:8443");
    const published = succeed(shell, publish.replace("https://localhost:8443", url));
    expect(published).toContain("image targets 1: published");
    expect(published).toContain("Mode production");

    await mkdir(join(shell.folder, "builds"));
    const image = join(shell.folder, "builds", "brake.bin");
    await writeFile(image, "firmware");
    await operator.upload(image, {
      ecu_type: "brake-controller",
      version: "1.1.0",
      hardware_versions: "HW-1.0",
      channel: "stable",
    });
    expect((await status()).awaiting_signature).toBe(1);
    const [release] = blocks("Releasing an image");
    expect(succeed(shell, release)).toContain("image targets 2: published");
    expect((await status()).awaiting_signature).toBe(0);

    const [people] = blocks("Several people");
    expect(succeed(shell, people)).toContain("image root 2: published");
    const [supplier] = blocks("A supplier");
    expect(succeed(shell, supplier)).toContain("image supplier-a 1: published");

    const before = await keysOf(status(), "image", "timestamp");
    const [online, offline, renewal] = blocks("Rotation");
    expect(succeed(shell, online)).toContain("image root 3: published");
    expect(await keysOf(status(), "image", "timestamp")).not.toEqual(before);
    expect(succeed(shell, offline)).toContain("director root 2: published");
    expect(succeed(shell, renewal)).toContain("director root 3: published");
  }, 120_000);

  const [, attacks = ""] = page.split("\n## Attacks\n");
  const [, , ...lines] = attacks.split("\n").filter((line) => line.startsWith("|"));
  const rows = lines.map((line) => {
    const row = /^\| .* \| ([^|]+) \| `(test\/[^`]+)`: (.*) \|$/.exec(line);
    return [row?.[3] ?? line, row?.[2] ?? "", row?.[1] ?? ""] as const;
  });

  test("has a table of attacks", () => {
    expect(rows.length).toBeGreaterThan(20);
  });

  test.each(rows)("the proof is there, and about this answer: %s", (title, file, codes) => {
    const proof = readFileSync(join(repository, file), "utf8");
    expect(proof).toContain(`"${title}"`);
    const errors = readFileSync(join(repository, "docs/errors.md"), "utf8");
    for (const [, code = ""] of codes.matchAll(/`([A-Z_]+)`/g)) {
      expect(proof).toContain(code);
      expect(errors).toContain(`| \`${code}\` |`);
    }
  });
});

async function keysOf(status: Promise<TrustStatus>, name: "director" | "image", role: string) {
  return (await status)[name].roles.find((each) => each.role === role)?.key_ids;
}
