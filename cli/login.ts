import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Command } from "commander";
import { Myself } from "#protocol/api/operator.ts";
import { answered, answering, withExamples } from "./answering.ts";
import { askHidden, ask, stdinLines } from "./ask.ts";
import { details } from "./details.ts";
import { openGateway } from "./gateway.ts";
import { openClient, type GatewayClient } from "./gateway-client.ts";
import { GatewayError } from "./gateway-error.ts";
import { reporting } from "./reporting.ts";
import { granted, kept } from "./session.ts";
import { locked, readSession, removeSession, sessionFile, writeSession } from "./session-file.ts";
import { UsageError } from "./usage-error.ts";

interface Options {
  url?: string;
  name?: string;
  ca?: string;
  passwordStdin?: true;
}

/** `latticeway login` */
export function loginCommand(): Command {
  return withExamples(
    new Command("login")
      .description("Log in to a gateway; every other command goes there then, as you")
      .option("--url <url>", "of the gateway (default: LATTICEWAY_URL, or that of the last login)")
      .option("--name <name>", "who you are (default: that of the last login, or it is asked for)")
      .option(
        "--ca <file>",
        "PEM of the authority of the gateway's certificate, where it is private",
      )
      .option(
        "--password-stdin",
        "read the password from standard input, a new one from the line after",
      ),
    [
      "latticeway login --url https://gateway.example.com:8443 --name alice",
      "latticeway login --url https://localhost:8443 --ca certs/server-ca/ecdsa-p256/root.pem --name admin --password-stdin < password",
    ],
  ).action((options: Options, command: Command) => reporting(command, () => login(options)));
}

async function login(options: Options): Promise<string> {
  const file = sessionFile(process.env);
  const before = await readSession(file).catch(() => undefined);
  const url = options.url ?? (process.env["LATTICEWAY_URL"] || before?.url);
  if (url === undefined || !/^https:\/\/[^/]/i.test(url) || !URL.canParse(url)) {
    throw new UsageError("Say which gateway: --url https://gateway.example.com:8443");
  }
  const ca =
    options.ca ?? (process.env["LATTICEWAY_CA"] || (url === before?.url ? before.ca : null));
  const name = options.name ?? before?.name ?? (process.stdin.isTTY ? await ask("Name: ") : "");
  if (!name) throw new UsageError("Say who you are: --name");
  const client = openClient(url, ca ? await readFile(ca) : undefined);
  try {
    const grant = await grantFor(client, name, options);
    // The folder that it was named in may be another one the next time.
    const session = { url, ca: ca ? resolve(ca) : null, name, ...kept(grant) };
    await locked(file, () => writeSession(file, session));
  } finally {
    await client.close();
  }
  return `Logged in to ${url} as ${name}.`;
}

async function grantFor(client: GatewayClient, name: string, options: Options) {
  const piped = options.passwordStdin ? await stdinLines() : undefined;
  const password = piped ? piped[0] : await hidden(`Password of ${name}: `);
  const given = { name, password: password ?? "" };
  const new_password = piped?.[1] || undefined;
  try {
    return await granted(client, "/auth/login", {
      ...given,
      ...(new_password && { new_password }),
    });
  } catch (error) {
    const isTemporary = error instanceof GatewayError && error.code === "PASSWORD_CHANGE_REQUIRED";
    if (!isTemporary || piped !== undefined) throw error;
    console.error("This password is good once. Set your own.");
    return granted(client, "/auth/login", { ...given, new_password: await newPassword() });
  }
}

async function newPassword(): Promise<string> {
  const chosen = await hidden("New password: ");
  // A mistake would be found out at the next login only.
  if ((await hidden("Once more: ")) !== chosen) throw new UsageError("The two passwords differ.");
  return chosen;
}

async function hidden(question: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw new UsageError("There is no terminal to ask for it: give it by --password-stdin");
  const typed = await askHidden(question);
  if (typed === undefined) throw new UsageError("No password was given.");
  return typed;
}

/** `latticeway logout` */
export function logoutCommand(): Command {
  return withExamples(
    new Command("logout").description("End the session, here and at the gateway"),
    ["latticeway logout"],
  ).action((_options: object, command: Command) => reporting(command, logout));
}

const over = ["LOGIN_MISSING", "TOKEN_INVALID", "REFRESH_TOKEN_INVALID", "REFRESH_TOKEN_REUSED"];

async function logout(): Promise<string> {
  const file = sessionFile(process.env);
  // Not whatever token the environment has.
  const env = { ...process.env, LATTICEWAY_TOKEN: "", LATTICEWAY_URL: "" };
  try {
    const gateway = await openGateway(env);
    try {
      await gateway.tell("POST", "/auth/logout");
    } finally {
      await gateway.close();
    }
  } catch (error) {
    if (!(error instanceof GatewayError) || !over.includes(error.code)) throw error;
  }
  await locked(file, () => removeSession(file));
  return "Logged out.";
}

/** `latticeway whoami` */
export function whoamiCommand(): Command {
  return answering(new Command("whoami").description("Who you are, and what you may do"), {
    examples: ["latticeway whoami", "latticeway whoami --json"],
    run: async (gateway) => answered(await gateway.get("/auth/me", Myself), details),
  });
}

/** `latticeway password` */
export function passwordCommand(): Command {
  return answering<{ passwordStdin?: true }>(
    new Command("password")
      .description("Replace your own password; your other sessions end")
      .option(
        "--password-stdin",
        "read the password and the new one from two lines of standard input",
      ),
    {
      examples: ["latticeway password"],
      async run(gateway, { passwordStdin }) {
        const [old, chosen] = passwordStdin ? await stdinLines() : [];
        const password = old ?? (await hidden("Password: "));
        const new_password = chosen ?? (await newPassword());
        await gateway.tell("POST", "/auth/password", { password, new_password });
        return { json: null, text: "The password is another one now." };
      },
    },
  );
}
