import { sectionMarkdown } from "./report.ts";
import type { Figure } from "./figure.ts";

/** The page is of another machine or of other versions: its figures stand beside no others. */
export class OtherMachine extends Error {}

/**
 * `docs/benchmarks.md` with these figures in it, each with the day that it was measured.
 * @param before the page whose other sections stay; undefined begins a new one
 * @throws OtherMachine
 */
export function benchmarksPage(
  figures: readonly Figure[],
  {
    machine,
    date,
    before,
  }: { machine: readonly string[]; date: string; before?: string | undefined },
): string {
  const list = machine.map((line) => `- ${line}`).join("\n");
  if (before !== undefined && !before.includes(`\n${list}\n`)) throw new OtherMachine();
  const sections = new Map(before === undefined ? [] : sectionsOf(before));
  for (const figure of figures) {
    sections.set(figure.title, `${sectionMarkdown(figure)}\n\nMeasured on ${date}.`);
  }
  return `# Benchmarks

Written by \`npm run bench -- --write\`; peers by \`bench/peers.sh\`.

${list}

Each figure is measured beside its peer in one run: the sides take turns, each in its own process on
loopback, and the table shows the median of the runs with the lowest and the highest. A ratio is that
of two runs that lie side by side.

${[...sections.values()].join("\n\n")}
`;
}

/** The sections of a page by their titles, in their order. */
function sectionsOf(page: string): [title: string, text: string][] {
  return page
    .split(/\n(?=## )/)
    .slice(1)
    .map((text) => [/^## (.*)/.exec(text)?.[1] ?? "", text.trim()]);
}
