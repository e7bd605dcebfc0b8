import { parseFilters } from "@buildkit-ts/cache";
import type { WorkerIdentity } from "../engine.ts";

/**
 * Whether a worker passes containerd-style filters on `id` and `labels.<key>`: commas mean *and*, several texts *or*.
 *
 * @throws {BuildError} `invalid_argument`, naming the part that cannot be read.
 */
export function matchesWorkerFilter(worker: WorkerIdentity, filters: readonly string[]): boolean {
  const texts = filters.filter((filter) => filter !== "");
  if (texts.length === 0) return true;
  return parseFilters(texts)(([field = "", ...rest]) => {
    const value = field === "id" ? worker.id : field === "labels" ? worker.labels[rest.join(".")] : undefined;
    return { value: value ?? "", present: value !== undefined };
  });
}
