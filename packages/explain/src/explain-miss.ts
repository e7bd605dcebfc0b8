import type { Explanation, MissedInput, MissedStep, MissReason } from "@buildkit-ts/solver";
import { changedFiles } from "./explain-files.ts";
import type { FileChanges } from "./file-changes.ts";
import type { ListingStore } from "./listing-store.ts";
import type { RecordedInput, StoredStep } from "./step-record.ts";

const maxFields = 5;
const maxValueLength = 300;

/** A reason, before it becomes the explanation of a step. */
interface Found {
  readonly reason: MissReason;
  readonly root?: MissReason;
  readonly text: readonly string[];
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What a miss is explained by. */
export interface Nearest {
  /** The record of the same step that has most in common with it. */
  readonly stored: StoredStep | undefined;
  /** Whether its result is still there. */
  readonly isPresent: boolean;
  readonly listings: ListingStore;
}

/** Says why a step is executed, compared with the nearest earlier record of the same step. */
export async function explainMiss(step: MissedStep, nearest: Nearest): Promise<Explanation> {
  const found = await findReason(step, nearest);
  const { digest, name, location } = step.vertex;
  const { reason, root = reason, text, details = {} } = found;
  return { vertex: digest, name, location, reason, root, text, details };
}

async function findReason(step: MissedStep, nearest: Nearest): Promise<Found> {
  if (step.vertex.options.ignoreCache)
    return { reason: "cache-disabled", text: ["cache disabled: the build asked for this step to run"] };
  if (!step.isPersistent && step.inputs.length === 0)
    return { reason: "not-cacheable", text: ["not cached: the client's files are compared in every build"] };
  if (step.loss !== undefined) return { reason: "lost", text: [`cached result was lost: ${step.loss}`] };
  const { stored } = nearest;
  if (stored === undefined) return { reason: "never-seen", text: ["never seen: no step like this one was recorded"] };
  return explainOp(step, stored) ?? (await explainInputs(step, { ...nearest, stored }));
}

function explainOp(step: MissedStep, { step: recorded }: StoredStep): Found | undefined {
  if (step.digests.join(" ") === recorded.digests.join(" ")) return undefined;
  const { fields } = step.description;
  const names = [...new Set([...Object.keys(recorded.fields), ...fields.keys()])];
  const changes = names.flatMap((field) => {
    const [before, after] = [recorded.fields[field], fields.get(field)];
    return before === after ? [] : [{ field, before, after }];
  });
  const text = changes
    .slice(0, maxFields)
    .map(({ field, before, after }) => `op changed: ${field}: ${shown(before)} → ${shown(after)}`);
  if (changes.length > maxFields) text.push(`op changed: and ${changes.length - maxFields} more fields`);
  if (text.length === 0) text.push("op changed: in a field that is not recorded");
  return { reason: "op-changed", text, details: { changes } };
}

function shown(value: string | undefined): string {
  if (value === undefined) return "(none)";
  if (/^\(hidden [0-9a-f]+\)$/.test(value)) return "(hidden)";
  const clipped = value.length > maxValueLength ? `${value.slice(0, maxValueLength)}…` : value;
  return JSON.stringify(clipped);
}

async function explainInputs(step: MissedStep, nearest: Nearest & { readonly stored: StoredStep }): Promise<Found> {
  const { stored, listings } = nearest;
  const files: Found[] = [];
  const others: Found[] = [];
  for (const [i, input] of step.inputs.entries()) {
    const recorded = stored.step.inputs[i];
    const difference = recorded === undefined ? "other" : differenceOf(input, recorded);
    if (difference === "files" && recorded !== undefined) files.push(await explainContent(input, recorded, listings));
    else if (difference === "other") others.push(explainInput(input));
  }
  const [first, ...rest] = [...files, ...others];
  if (first !== undefined) {
    return { ...first, text: [...first.text, ...rest.flatMap(({ text }) => text)] };
  }
  if (!nearest.isPresent) return explainGone(stored);
  const rebuilt = step.inputs.find(({ explanation }) => explanation !== undefined);
  if (rebuilt !== undefined) return explainInput(rebuilt);
  return { reason: "never-seen", text: ["never seen: the nearest record was made by other inputs"] };
}

/** How an input differs from that of a record. What was built again only since its record is gone is the same. */
function differenceOf(input: MissedInput, recorded: RecordedInput): "same" | "files" | "other" {
  if (input.content !== undefined && recorded.content !== undefined)
    return input.content === recorded.content ? "same" : "files";
  if (input.links().some((link) => recorded.links.includes(link))) return "same";
  const root = input.explanation?.root;
  return root === "pruned" || root === "lost" ? "same" : "other";
}

async function explainContent(input: MissedInput, recorded: RecordedInput, listings: ListingStore): Promise<Found> {
  const changes = await changedFiles(input, recorded, listings);
  const from = nameOf(input);
  if (changes === undefined) {
    const text = [`files changed: in ${from}; which ones is not known, the earlier files are no longer recorded`];
    return { reason: "files-changed", text, details: { input: input.vertex.name } };
  }
  const { count, total, first } = changes;
  const text = [`files changed: ${count} of ${total} from ${from}`, ...first.map(changeText), ...moreText(changes)];
  return { reason: "files-changed", text, details: { input: input.vertex.name, count, total, first } };
}

function changeText({ path, what }: FileChanges["first"][number]): string {
  return `  ${path} (${what.join(", ")})`;
}

function moreText({ count, first }: FileChanges): string[] {
  return count > first.length ? [`  and ${count - first.length} more`] : [];
}

function explainInput(input: MissedInput): Found {
  const { explanation, vertex } = input;
  const details = { input: vertex.name, location: vertex.location };
  if (explanation === undefined)
    return { reason: "input-changed", text: [`input changed: ${nameOf(input)}: it is another one now`], details };
  const { root, text } = explanation;
  // The step at the bottom is what the user has to look at, however long the way to it is.
  if (explanation.reason === "input-changed" && text[0] !== undefined)
    return { reason: "input-changed", root, text, details: { ...details, ...explanation.details } };
  return {
    reason: "input-changed",
    root,
    text: [`input changed: ${nameOf(input)}`, ...text.map((line) => `  ${line}`)],
    details,
  };
}

function nameOf({ vertex }: MissedInput): string {
  return vertex.location === undefined ? vertex.name : `${vertex.name} (${vertex.location})`;
}

function explainGone({ goneAt, recordedAt }: StoredStep): Found {
  const when = goneAt === undefined ? "" : ` at ${new Date(goneAt).toISOString()}`;
  const made = new Date(recordedAt).toISOString();
  return {
    reason: "pruned",
    text: [`record was pruned: the result of ${made} was removed${when}`],
    details: { recordedAt: made, ...(goneAt !== undefined && { goneAt: new Date(goneAt).toISOString() }) },
  };
}
