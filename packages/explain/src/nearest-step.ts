import type { StoredStep } from "./step-record.ts";
import { identify } from "./step-record.ts";
import type { StepQuery } from "./step-store.ts";

/** Less than this in common, and two steps are different ones. */
const enough = 6;

/**
 * The record of the same step that has most in common with it, of equal ones the newest.
 *
 * Steps have no names that last: numbers shift when a line is inserted, and commands change. What does the same is the same
 * step, so is what has the same title, or stands at the same place of the same project upon the same input.
 */
export function findNearest(
  query: StepQuery,
  links: readonly (readonly string[])[],
  candidates: readonly StoredStep[],
): StoredStep | undefined {
  let best: { readonly stored: StoredStep; readonly score: number } | undefined;
  for (const stored of candidates) {
    const score = likeness(query, links, stored);
    if (score >= enough && (best === undefined || score > best.score)) best = { stored, score };
  }
  return best?.stored;
}

function likeness(query: StepQuery, links: readonly (readonly string[])[], { step, project }: StoredStep): number {
  const known = identify(step.name, step.kind, project);
  const isSameProject = project === query.project;
  const hasInput = (index: number): boolean => {
    const recorded = step.inputs[index]?.links ?? [];
    return links[index]?.some((link) => recorded.includes(link)) === true;
  };
  let score = 0;
  if (step.digests.join(" ") === query.op) score += 8;
  if (known.title === query.title) score += 5;
  if (known.place !== undefined && known.place === query.place) score += isSameProject ? 4 : 1;
  if (isSameProject) score += 2;
  // One by one: most steps have one input that is more than their own files.
  for (const index of links.keys()) if (hasInput(index)) score += index === 0 ? 4 : 1;
  return score;
}
