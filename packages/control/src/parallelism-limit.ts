import { FairSemaphore } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Job } from "@buildkit-ts/solver";
import { buildLimitKey } from "@buildkit-ts/worker";

const attribute = "build-arg:BUILDKIT_MAX_PARALLELISM";

/**
 * Limits how many steps of one build run at a time, where the request's build arguments ask for that.
 *
 * @throws {BuildError} `invalid_argument`, for anything but a positive number.
 */
export function readParallelismLimit(job: Job, attributes: Readonly<Record<string, string>>): void {
  const value = attributes[attribute];
  if (value === undefined || value === "") return;
  if (!/^[1-9]\d{0,5}$/.test(value)) {
    const message = `Cannot use build argument "BUILDKIT_MAX_PARALLELISM": "${value.slice(0, 20)}" is no positive number`;
    throw new BuildError("invalid_argument", message);
  }
  job.setValue(buildLimitKey, new FairSemaphore(Number(value)));
}
