import type { BuildkitClient } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";

/** Why one step was executed, as the daemon says it. */
export interface ExplainedStep {
  readonly name: string;
  readonly location?: string;
  readonly reason: string;
  /** The most important line first. */
  readonly text: readonly string[];
}

/** A build's explanations, as they are kept with its record. */
export interface Explanations {
  readonly json: string;
  readonly steps: readonly ExplainedStep[];
}

/** The part of a record's response that names the blob, as a descriptor. */
const key = "buildkit-ts.explain";
const maxBytes = 64 << 20;

/**
 * Why the steps of a build were executed; without steps, if all were cached.
 *
 * @throws {BuildError} `not_found`, for a build that the daemon has no record of.
 */
export async function readExplanations(
  client: BuildkitClient,
  ref: string,
  options: { readonly signal: AbortSignal },
): Promise<Explanations> {
  for await (const { record } of client.buildHistory({ Ref: ref, EarlyExit: true }, options)) {
    if (record?.Ref !== ref) continue;
    const descriptor = record.ExporterResponse[key];
    if (descriptor === undefined) return { json: JSON.stringify({ version: 1, steps: [] }), steps: [] };
    const { digest } = JSON.parse(descriptor) as { readonly digest: string };
    const json = await readText(client, digest, options);
    return { json, steps: (JSON.parse(json) as { readonly steps: readonly ExplainedStep[] }).steps };
  }
  throw new BuildError("not_found", `ref ${ref} not found`);
}

async function readText(
  client: BuildkitClient,
  digest: string,
  options: { readonly signal: AbortSignal },
): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of client.readContent(digest, options)) {
    size += part.length;
    if (size > maxBytes) throw new BuildError("resource_exhausted", `Cannot read explanations "${digest}": too large`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}
