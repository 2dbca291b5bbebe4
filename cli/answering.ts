import type { Command } from "commander";
import { withGateway, type Gateway } from "./gateway.ts";
import { reporting } from "./reporting.ts";

/** What a command has to say: the gateway's answer for scripts, text for people. */
export interface Answered {
  json: unknown;
  text: string;
}

interface Spec<Options> {
  /** Without the `$` before them. */
  examples: readonly string[];
  run(gateway: Gateway, options: Options, ...args: string[]): Promise<Answered>;
}

/** A command that asks the gateway something and prints what it answers, as JSON if wanted. */
export function answering<Options extends object>(
  command: Command,
  { examples, run }: Spec<Options>,
): Command {
  return withExamples(
    command.option("--json", "print JSON: what the gateway answers"),
    examples,
  ).action(async (...given: unknown[]) => {
    const [options, self] = given.slice(-2) as [Options & { json?: true }, Command];
    const args = given.slice(0, -2) as string[];
    await reporting(self, () =>
      withGateway(async (gateway) => {
        const { json, text } = await run(gateway, options, ...args);
        return options.json === true ? JSON.stringify(json, null, 2) : text;
      }),
    );
  });
}

export function withExamples(command: Command, examples: readonly string[]): Command {
  const lines = examples.map((example) => `  ${example}`).join("\n");
  return command.addHelpText("after", `\nExamples:\n${lines}`);
}

/** One thing that the gateway has answered. */
export function answered<T>(json: T, text: (json: T) => string): Answered {
  return { json, text: text(json) };
}

/** Something was done that is answered with nothing. */
export function done(text: string): Answered {
  return { json: null, text };
}

/** A path with what a person typed in it. */
export function path(strings: TemplateStringsArray, ...values: (string | number)[]): string {
  return String.raw({ raw: strings }, ...values.map((value) => encodeURIComponent(value)));
}
