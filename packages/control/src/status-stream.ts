import type { controlpb } from "@buildkit-ts/api";
import type { Explanation, Job, ProgressEvent } from "@buildkit-ts/solver";
import { explanationLog } from "./explanations.ts";
import { statusResponses } from "./wire/status-response.ts";

/** Events are gathered this long before they are sent: a client that draws needs no more, and messages get fewer. */
const gatherMs = 50;

/** A job's events as status messages, until the job ends. */
export async function* statusStream(
  job: Job,
  options: { readonly signal: AbortSignal; readonly onExplanation?: (explanation: Explanation) => void },
): AsyncIterable<controlpb.StatusResponse> {
  let pending: ProgressEvent[] = [];
  let wake = Promise.withResolvers<void>();
  const ended = (async () => {
    try {
      for await (const events of job.events(options)) {
        for (const event of events) {
          if (event.kind === "explanation") options.onExplanation?.(event.explanation);
          const shown = event.kind === "explanation" ? explanationLog(job, event) : event;
          if (shown !== undefined) pending.push(shown);
        }
        if (pending.length > 0) wake.resolve();
      }
    } finally {
      wake.resolve();
    }
  })();
  let isOver = false;
  const over = ended.then(
    () => {
      isOver = true;
    },
    (error: unknown) => {
      isOver = true;
      throw error;
    },
  );
  over.catch(() => undefined);
  for (;;) {
    await wake.promise;
    if (!isOver) await Promise.race([over, new Promise((resolve) => setTimeout(resolve, gatherMs))]);
    wake = Promise.withResolvers();
    const batch = pending;
    pending = [];
    yield* statusResponses(batch);
    if (isOver && pending.length === 0) {
      await over;
      return;
    }
  }
}
