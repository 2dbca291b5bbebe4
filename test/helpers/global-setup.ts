import { leftOut } from "./optional.ts";

/** Says in plain words what this run leaves out; ends it when that was required. */
export default function setup(): void {
  const lines = leftOut(process.env["LATTICEWAY_REQUIRE"] ?? "");
  const text = lines.length === 0 ? "nothing" : `\n  ${lines.join("\n  ")}`;
  process.stdout.write(`Left out on this machine: ${text}\n`);
}
