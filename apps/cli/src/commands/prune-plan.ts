import type { PruneVerdict } from "@buildkit-ts/api/buildkitts/cacheplan";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatBytes } from "@buildkit-ts/gotext";
import type { ParsedArguments } from "../arguments/parse-arguments.ts";
import { usageRecord } from "../output/go-records.ts";
import { renderTemplate } from "../output/go-template.ts";
import { goStruct } from "../output/go-value.ts";
import { formatTable } from "../output/table.ts";

const reasons: Readonly<Record<string, string>> = {
  selected: "nothing keeps it",
  "over limit": "the cache is over its limit",
  "in use": "a build holds it",
  internal: "internal record, goes with --all",
  recent: "used within --keep-duration",
  filtered: "not selected by --filter",
  parent: "others are built on it",
  "within limit": "there is enough space without it",
};

/** Shows what a prune would do; with `--explain` also what would stay, and why. */
export async function showPrunePlan(verdicts: AsyncIterable<PruneVerdict>, args: ParsedArguments): Promise<void> {
  const format = args.string("format");
  const explains = args.boolean("explain");
  let total = 0n;
  const rows = [explains ? ["ID", "GOES", "SIZE", "WHY", "PINNED BY"] : ["ID", "SIZE"]];
  for await (const verdict of told(verdicts)) {
    if (verdict.goes) total += verdict.record?.Size ?? 0n;
    if (!verdict.goes && !explains) continue;
    if (format !== "") process.stdout.write(`${renderTemplate(format, verdictRecord(verdict))}\n`);
    else rows.push(explains ? explainedRow(verdict) : plainRow(verdict));
  }
  if (format === "") process.stdout.write(`${formatTable(rows)}Would free:\t${formatBytes(total)}\n`);
}

/** Another daemon than this project's knows no plans, which its answer does not say. */
async function* told(verdicts: AsyncIterable<PruneVerdict>): AsyncGenerator<PruneVerdict> {
  try {
    yield* verdicts;
  } catch (error) {
    const cause = BuildError.from(error);
    if (cause.code !== "unimplemented") throw error;
    throw new BuildError("unimplemented", "Cannot show what a prune would do: the daemon does not tell", {
      cause,
      hint: "the original buildkitd has no such call",
    });
  }
}

function plainRow({ record }: PruneVerdict): string[] {
  return [`${record?.ID ?? ""}${record?.Mutable === true ? "*" : ""}`, formatBytes(record?.Size ?? 0n)];
}

function explainedRow(verdict: PruneVerdict): string[] {
  const [id = "", size = ""] = plainRow(verdict);
  const why = reasons[verdict.reason] ?? verdict.reason;
  return [id, verdict.goes ? "yes" : "no", size, why, verdict.pinnedBy.join(" ")];
}

function verdictRecord(verdict: PruneVerdict): ReturnType<typeof goStruct> {
  const { record, goes, reason, pinnedBy } = verdict;
  return goStruct({
    Record: record === undefined ? goStruct({}) : usageRecord(record),
    Goes: goes,
    Reason: reason,
    PinnedBy: pinnedBy,
  });
}
