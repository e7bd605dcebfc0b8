import type { controlpb } from "@buildkit-ts/api";
import { SafeRegExp } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseDuration } from "@buildkit-ts/gotext";

type Predicate = (record: controlpb.BuildHistoryRecord) => boolean;

/**
 * Compiles `ListenBuildHistory`'s filters: commas inside one string mean *and*, several strings mean *or*.
 *
 * @throws {BuildError} `invalid_argument`, naming the part that cannot be read.
 */
export function compileHistoryFilter(filters: readonly string[], now: number): Predicate {
  const alternatives = filters.filter((filter) => filter !== "").map((filter) => compileAll(filter, now));
  return alternatives.length === 0 ? () => true : (record) => alternatives.some((matches) => matches(record));
}

function compileAll(filter: string, now: number): Predicate {
  const parts = filter.split(",").map((part) => compileOne(part.trim(), now));
  return (record) => parts.every((matches) => matches(record));
}

function compileOne(text: string, now: number): Predicate {
  const [, field = "", operator = "", rawValue = ""] = /^([A-Za-z]+)(==|!=|~=|>=|<=|>|<|=)(.*)$/s.exec(text) ?? [];
  const value = rawValue.replace(/^"(.*)"$/s, "$1");
  if (field === "ref" || field === "status" || field === "repository")
    return compileText({ field, operator, value, text });
  if (field === "startedAt" || field === "completedAt" || field === "duration")
    return compileTime({ field, operator, value, text, now });
  throw invalid(text);
}

function invalid(text: string): BuildError {
  return new BuildError("invalid_argument", `Cannot parse history filter "${text}": not field, operator and value`);
}

function compileText(options: {
  field: "ref" | "status" | "repository";
  operator: string;
  value: string;
  text: string;
}): Predicate {
  const { field, operator, value, text } = options;
  const read = { ref: (r: controlpb.BuildHistoryRecord) => r.Ref, status: statusOf, repository: repositoryOf }[field];
  if (operator === "==" || operator === "=") return (record) => read(record) === value;
  if (operator === "!=") return (record) => read(record) !== value;
  if (operator !== "~=") throw invalid(text);
  const pattern = new SafeRegExp(value);
  return (record) => pattern.test(read(record));
}

function statusOf(record: controlpb.BuildHistoryRecord): string {
  if (record.CompletedAt === undefined) return "running";
  if (record.error === undefined) return "completed";
  return record.error.code === 1 ? "canceled" : "error";
}

function repositoryOf(record: controlpb.BuildHistoryRecord): string {
  return record.FrontendAttrs["vcs:source"] ?? record.FrontendAttrs["context"] ?? "";
}

function compileTime(options: {
  field: "startedAt" | "completedAt" | "duration";
  operator: string;
  value: string;
  text: string;
  now: number;
}): Predicate {
  const { field, operator, value, text, now } = options;
  const limit = field === "duration" ? durationMs(value) : (parseAgo(value, now) ?? Number.NaN);
  if (limit === undefined || Number.isNaN(limit)) throw invalid(text);
  const compare = {
    ">": (a: number) => a > limit,
    ">=": (a: number) => a >= limit,
    "<": (a: number) => a < limit,
    "<=": (a: number) => a <= limit,
  }[operator];
  if (compare === undefined) throw invalid(text);
  return (record) => {
    const started = msOf(record.CreatedAt);
    const completed = msOf(record.CompletedAt);
    const actual =
      field === "startedAt" ? started : field === "completedAt" ? completed : (completed ?? now) - (started ?? now);
    return actual !== undefined && compare(actual);
  };
}

function parseAgo(value: string, now: number): number | undefined {
  const duration = durationMs(value);
  return duration === undefined ? Date.parse(value) : now - duration;
}

/** Milliseconds; days are known here too. */
function durationMs(text: string): number | undefined {
  const hours = text.replace(/(\d+(?:\.\d+)?)d/, (_, days: string) => `${Number(days) * 24}h`);
  const { nanoseconds } = parseDuration(hours);
  return nanoseconds === undefined ? undefined : nanoseconds / 1e6;
}

function msOf(timestamp: { readonly seconds: bigint; readonly nanos: number } | undefined): number | undefined {
  return timestamp === undefined ? undefined : Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}
