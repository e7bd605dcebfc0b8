import { create } from "@bufbuild/protobuf";
import { controlpb } from "@buildkit-ts/api";
import { redactCredentialsIn } from "@buildkit-ts/provenance";
import type { ProgressEvent, VertexEvent } from "@buildkit-ts/solver";
import { timestampOf } from "./timestamps.ts";

/** gRPC messages may hold 16 MiB; they are cut much earlier so that no client's own limit is met. */
const maxMessageBytes = 1 << 20;

/** Packs events into as few messages as their sizes allow, keeping the order of each kind. */
export function statusResponses(events: readonly ProgressEvent[]): controlpb.StatusResponse[] {
  const responses: controlpb.StatusResponse[] = [];
  let current = create(controlpb.StatusResponseSchema);
  let bytes = 0;
  const flush = (): void => {
    responses.push(current);
    current = create(controlpb.StatusResponseSchema);
    bytes = 0;
  };
  for (const event of events) {
    const size = sizeOf(event);
    if (bytes > 0 && bytes + size > maxMessageBytes) flush();
    append(current, event);
    bytes += size;
  }
  if (events.length > 0) flush();
  return responses;
}

/** About as many bytes as the event takes on the wire, and not much less. */
function sizeOf(event: ProgressEvent): number {
  const fixed = 256;
  if (event.kind === "log") return fixed + event.data.length;
  if (event.kind !== "vertex") return fixed;
  const { name, error = "", inputs } = event.vertex;
  return fixed + name.length + error.length + 80 * inputs.length;
}

function append(response: controlpb.StatusResponse, event: ProgressEvent): void {
  switch (event.kind) {
    case "vertex":
      response.vertexes.push(vertexMessage(event.vertex));
      return;
    case "status":
      response.statuses.push(statusMessage(event));
      return;
    case "log":
      response.logs.push(
        create(controlpb.VertexLogSchema, {
          vertex: event.vertex,
          stream: BigInt(event.stream),
          msg: event.data,
          timestamp: timestampOf(event.at),
        }),
      );
      return;
    case "warning":
      response.warnings.push(warningMessage(event));
      return;
    case "explanation":
      // The wire has no place for it; it comes as lines of the step's log to those who want it.
      return;
    default:
      event satisfies never;
  }
}

function vertexMessage(vertex: VertexEvent): controlpb.Vertex {
  const started = timestampOf(vertex.startedAt);
  const completed = timestampOf(vertex.completedAt);
  return create(controlpb.VertexSchema, {
    digest: vertex.digest,
    inputs: [...vertex.inputs],
    name: vertex.name,
    cached: vertex.cached,
    error: redactCredentialsIn(vertex.error ?? ""),
    ...(started !== undefined && { started }),
    ...(completed !== undefined && { completed }),
    ...(vertex.progressGroup !== undefined && { progressGroup: vertex.progressGroup }),
  });
}

function statusMessage(event: ProgressEvent & { kind: "status" }): controlpb.VertexStatus {
  const { update } = event;
  const completed = timestampOf(update.completed);
  return create(controlpb.VertexStatusSchema, {
    ID: redactCredentialsIn(update.id),
    vertex: event.vertex,
    name: redactCredentialsIn(update.name ?? ""),
    current: BigInt(Math.trunc(update.current ?? 0)),
    total: BigInt(Math.trunc(update.total ?? 0)),
    timestamp: timestampOf(update.completed ?? Date.now()),
    started: timestampOf(update.started),
    ...(completed !== undefined && { completed }),
  });
}

function warningMessage(event: ProgressEvent & { kind: "warning" }): controlpb.VertexWarning {
  const { warning } = event;
  const encoder = new TextEncoder();
  return create(controlpb.VertexWarningSchema, {
    vertex: event.vertex,
    level: BigInt(warning.level),
    short: encoder.encode(warning.short),
    detail: warning.detail.map((line) => encoder.encode(line)),
    url: warning.url,
    ...(warning.source !== undefined && { info: warning.source }),
    ranges: warning.ranges.map(({ start, end }) => ({ start, end })),
  });
}
