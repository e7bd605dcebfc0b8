import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { StatusResponse } from "@buildkit-ts/api/buildkit/control";
import { formatGoJson } from "@buildkit-ts/gotext";
import { formatTime } from "../output/format-time.ts";

/** A progress message as one line of JSON, in the form of BuildKit's Go client. */
export function statusToJson(status: StatusResponse): string {
  const vertexes = status.vertexes.map((vertex) => ({
    digest: nonEmpty(vertex.digest),
    inputs: vertex.inputs.length > 0 ? vertex.inputs : undefined,
    name: nonEmpty(vertex.name),
    started: time(vertex.started),
    completed: time(vertex.completed),
    cached: vertex.cached || undefined,
    error: nonEmpty(vertex.error),
    progressGroup:
      vertex.progressGroup === undefined
        ? undefined
        : {
            id: nonEmpty(vertex.progressGroup.id),
            name: nonEmpty(vertex.progressGroup.name),
            weak: vertex.progressGroup.weak || undefined,
          },
  }));
  const statuses = status.statuses.map((entry) => ({
    id: entry.ID,
    vertex: nonEmpty(entry.vertex),
    name: nonEmpty(entry.name),
    total: entry.total === 0n ? undefined : Number(entry.total),
    current: Number(entry.current),
    timestamp: time(entry.timestamp) ?? zeroTime,
    started: time(entry.started),
    completed: time(entry.completed),
  }));
  const logs = status.logs.map((log) => ({
    vertex: nonEmpty(log.vertex),
    stream: Number(log.stream) || undefined,
    data: base64(log.msg),
    timestamp: time(log.timestamp) ?? zeroTime,
  }));
  const warnings = warningsToJson(status);
  const lists = { vertexes, statuses, logs, warnings };
  const filled = Object.entries(lists).filter(([, list]) => list.length > 0);
  return formatGoJson(Object.fromEntries(filled));
}

const zeroTime = "0001-01-01T00:00:00Z";

function warningsToJson(status: StatusResponse): object[] {
  return status.warnings.map((warning) => ({
    vertex: nonEmpty(warning.vertex),
    level: Number(warning.level) || undefined,
    short: warning.short.length > 0 ? base64(warning.short) : undefined,
    detail: warning.detail.length > 0 ? warning.detail.map(base64) : undefined,
    url: nonEmpty(warning.url),
    sourceInfo:
      warning.info === undefined
        ? undefined
        : {
            filename: nonEmpty(warning.info.filename),
            data: warning.info.data.length > 0 ? base64(warning.info.data) : undefined,
            language: nonEmpty(warning.info.language),
          },
    range:
      warning.ranges.length > 0
        ? warning.ranges.map(({ start, end }) => ({ start: position(start), end: position(end) }))
        : undefined,
  }));
}

function position(at: { readonly line: number; readonly character: number } | undefined): object | undefined {
  if (at === undefined) return undefined;
  return { line: at.line || undefined, character: at.character || undefined };
}

function time(value: Timestamp | undefined): string | undefined {
  return value === undefined ? undefined : formatTime(value);
}

function nonEmpty(text: string): string | undefined {
  return text === "" ? undefined : text;
}

function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
}
