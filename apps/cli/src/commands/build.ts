import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type StatusResponse, StatusResponseSchema } from "@buildkit-ts/api/buildkit/control";
import type { BuildkitClient, BuildResponse } from "@buildkit-ts/client";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ParsedArguments } from "../arguments/parse-arguments.ts";
import { parseBuild } from "../arguments/parse-build.ts";
import type { CommandContext } from "../command.ts";
import { formatExplanations } from "../explain/format-explanations.ts";
import { readExplanations } from "../explain/read-explanations.ts";
import { openClient } from "../open-client.ts";
import { createProgressDisplay } from "../progress/progress-display.ts";
import { statusToJson } from "../progress/status-json.ts";

/** Runs a build, shows its progress, and writes what it gives back. */
export async function build(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  const startedAt = Date.now();
  let show: (status: StatusResponse) => void = () => undefined;
  // Flags are judged before a daemon is sought, and progress is shown once there is one.
  const request = parseBuild(args, { onCredentialUse: (name) => show(noteVertex(name)) });
  const ref = randomBytes(16).toString("hex");
  await using client = await openClient(context, { startsDaemon: true });
  const display = createProgressDisplay(args.string("progress"), 2);
  const trace = args.string("trace") === "" ? undefined : openSync(args.string("trace"), "a", 0o600);
  const metrics = await openMetrics(args, startedAt);
  show = (status) => {
    display.update(status);
    metrics?.update(status);
    if (trace !== undefined) writeSync(trace, `${statusToJson(status)}\n`);
  };
  let response: BuildResponse;
  try {
    response = await client.build({ ...request, ref, onStatus: show }, { signal });
  } finally {
    display.finish();
    if (trace !== undefined) closeSync(trace);
    const refFile = args.string("ref-file");
    if (refFile !== "") writeWhole(refFile, ref);
    metrics?.finish();
    // Also of a build that failed: its last step may be the one that should have been cached.
    if (args.boolean("explain")) await explain(client, ref, signal);
  }
  const metadataFile = args.string("metadata-file");
  if (metadataFile !== "") writeWhole(metadataFile, metadataJson(response.exporterResponse));
  if (request.attributes?.["requestid"] !== undefined) printSubrequest(response.metadata);
}

async function explain(client: BuildkitClient, ref: string, signal: AbortSignal): Promise<void> {
  try {
    process.stderr.write(formatExplanations((await readExplanations(client, ref, { signal })).steps));
  } catch (error) {
    signal.throwIfAborted();
    process.stderr.write(`Cannot explain build "${ref}": ${BuildError.from(error).message}\n`);
  }
}

async function openMetrics(
  args: ParsedArguments,
  startedAt: number,
): Promise<import("../progress/cache-metrics.ts").CacheMetrics | undefined> {
  const output = args.string("debug-json-cache-metrics");
  if (output === "") return undefined;
  const { CacheMetrics } = await import("../progress/cache-metrics.ts");
  return new CacheMetrics(output, startedAt);
}

/** A step of the client's own, such as the use of credentials. */
function noteVertex(name: string): StatusResponse {
  const now: Timestamp = timestampFromMs(Date.now());
  const digest = `sha256:${createHash("sha256").update(name).digest("hex")}`;
  return create(StatusResponseSchema, { vertexes: [{ digest, name, started: now, completed: now }] });
}

/** The exporters' response as JSON; values that are JSON objects in base64 become objects. */
function metadataJson(response: Readonly<Record<string, string>>): string {
  const entries = Object.entries(response).sort(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify(Object.fromEntries(entries.map(([key, value]) => [key, expand(value)])), undefined, 2);
}

function expand(value: string): unknown {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value) || value.length % 4 !== 0) return value;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(value, "base64").toString("utf8"));
    const isObject = typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
    return isObject && Object.keys(parsed).length > 0 ? parsed : value;
  } catch {
    // Plain text that happens to look like base64.
    return value;
  }
}

function printSubrequest(metadata: Readonly<Record<string, Uint8Array>>): void {
  const text = metadata["result.txt"];
  if (text !== undefined) {
    process.stdout.write(text);
    return;
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (key.startsWith("result.")) process.stdout.write(`${key}\n${Buffer.from(value).toString("utf8")}\n`);
  }
}

/** Readers never see half a file. */
function writeWhole(path: string, text: string): void {
  const temporary = `${path}.tmp-${process.pid}`;
  writeFileSync(temporary, text, { mode: 0o666 });
  renameSync(temporary, path);
}
