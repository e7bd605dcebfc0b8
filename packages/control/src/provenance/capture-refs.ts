import type { Capture } from "@buildkit-ts/provenance";
import type { Job } from "@buildkit-ts/solver";
import { captureSteps } from "@buildkit-ts/worker";
import type { BridgeRef } from "../bridge/bridge-ref.ts";

/** What is known of how some trees of a job came to be, those that were built. What they have in common is looked at once. */
export function captureRefs(refs: Iterable<BridgeRef>, job: Job): Capture {
  const edges = [...refs].flatMap(({ built }) => (built === undefined ? [] : [built]));
  return captureSteps(job.steps(edges));
}
