import type { StepCandidate, StepQuery } from "./step-store.ts";

/** Less than this in common, and two steps are different ones. */
const enough = 6;

/**
 * The record of the same step that has most in common with it, of equal ones the newest.
 *
 * Steps have no names that last: numbers shift when a line is inserted, and commands change. What does the same is the same
 * step, so is what has the same title, or stands at the same place of the same project upon the same input.
 *
 * @param candidates The newest first.
 */
export function findNearest(query: StepQuery, candidates: readonly StepCandidate[]): StepCandidate | undefined {
  let best: { readonly candidate: StepCandidate; readonly score: number } | undefined;
  for (const candidate of candidates) {
    const score = likeness(query, candidate);
    if (score >= enough && (best === undefined || score > best.score)) best = { candidate, score };
  }
  return best?.candidate;
}

function likeness(query: StepQuery, { op, title, place, parent, project }: StepCandidate): number {
  const isSameProject = project === query.project;
  let score = 0;
  if (op === query.op) score += 8;
  if (title === query.title) score += 5;
  if (place !== "" && place === query.place) score += isSameProject ? 4 : 1;
  if (isSameProject) score += 2;
  if (query.parents.includes(parent)) score += 4;
  return score;
}
