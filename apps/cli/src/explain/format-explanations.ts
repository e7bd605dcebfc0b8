import type { ExplainedStep } from "./read-explanations.ts";

/** Explanations for people: a step a paragraph, in the order in which the steps ran. */
export function formatExplanations(steps: readonly ExplainedStep[]): string {
  // What a client's directories hold is looked at in every build: nobody wonders about it.
  const shown = steps.filter(({ reason }) => reason !== "not-cacheable");
  if (shown.length === 0) return "All steps were cached.\n";
  return shown
    .map(({ name, location, text }) => {
      const place = location === undefined ? "" : ` (${location})`;
      return `${printable(name)}${place}\n${text.map((line) => `    ${printable(line)}\n`).join("")}`;
    })
    .join("");
}

/** Names come from Dockerfiles and paths from images: neither may move the cursor. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}
