import { BuildError } from "@buildkit-ts/errdefs";
import type { WorkerIdentity } from "../engine.ts";

/**
 * Whether a worker passes containerd-style filters on `id` and `labels.<key>`: commas mean *and*, several texts *or*.
 *
 * @throws {BuildError} `invalid_argument`, naming the part that cannot be read.
 */
export function matchesWorkerFilter(worker: WorkerIdentity, filters: readonly string[]): boolean {
  const alternatives = filters.filter((filter) => filter !== "");
  return (
    alternatives.length === 0 ||
    alternatives.some((filter) => filter.split(",").every((part) => matchesPart(worker, part)))
  );
}

function matchesPart(worker: WorkerIdentity, part: string): boolean {
  const [, field = "", operator, rawValue = ""] = /^\s*([\w.\-/"]+?)\s*(?:(==|!=|~=)\s*(.*?))?\s*$/.exec(part) ?? [];
  const value = rawValue.replace(/^"(.*)"$/, "$1");
  const actual =
    field === "id" ? worker.id : field.startsWith("labels.") ? worker.labels[unquote(field.slice(7))] : undefined;
  if (field !== "id" && !field.startsWith("labels.")) {
    throw new BuildError(
      "invalid_argument",
      `Cannot parse worker filter "${part}": the field is neither id nor labels.<key>`,
    );
  }
  if (operator === undefined) return actual !== undefined;
  if (operator === "==") return actual === value;
  if (operator === "!=") return actual !== value;
  return new RegExp(value).test(actual ?? "");
}

function unquote(text: string): string {
  return text.replaceAll('"', "");
}
