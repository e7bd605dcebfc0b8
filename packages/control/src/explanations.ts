import type { Explanation, Job, ProgressEvent } from "@buildkit-ts/solver";

/** The job's value that says whether explanations are lines of its steps' logs. */
const wantedKey = "explain";

/** Makes explanations lines of the steps' logs, where the request's build arguments ask for that. */
export function readExplainOption(job: Job, attributes: Readonly<Record<string, string>>): void {
  const value = attributes["build-arg:BUILDKIT_EXPLAIN"] ?? "";
  if (value === "1" || value === "true") job.setValue(wantedKey, true);
}

/** An explanation as lines of its step's log; undefined for a build that did not ask for it. */
export function explanationLog(
  job: Job,
  event: ProgressEvent & { readonly kind: "explanation" },
): ProgressEvent | undefined {
  // What a client's directories hold is looked at in every build: nobody wonders about it.
  if (job.value(wantedKey) !== true || event.explanation.reason === "not-cacheable") return undefined;
  const text = event.explanation.text.map((line) => `cache miss: ${line}\n`).join("");
  return { kind: "log", vertex: event.vertex, stream: 2, data: Buffer.from(text), at: event.at };
}

/** All of a build's explanations in one document for programs. */
export function explanationDocument(explanations: readonly Explanation[]): {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
} {
  return {
    mediaType: "application/vnd.buildkit-ts.explain.v1+json",
    bytes: Buffer.from(JSON.stringify({ version: 1, steps: explanations })),
  };
}
