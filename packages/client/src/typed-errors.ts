import { BuildError, SourceError, type SourceFile, type SourceRange, VertexError } from "@buildkit-ts/errdefs";
import type { RpcErrorDetail } from "@buildkit-ts/session/rpc";
import { RpcError } from "@buildkit-ts/session/rpc";

const prefix = /^(?:type\.googleapis\.com\/)?github\.com\/moby\/buildkit\//;

/** What a daemon says about a failure besides its text. */
export interface FailureDetails {
  /** Places in source files, the innermost last. */
  readonly sources: readonly { readonly file: SourceFile; readonly ranges: readonly SourceRange[] }[];
  /** Digest of the vertex that failed. */
  readonly vertex: string | undefined;
  /** Messages of a policy that denied something. */
  readonly denials: readonly string[];
  /** Remote stack traces, as JSON. */
  readonly stacks: readonly unknown[];
  /** The frontends that failed, the outermost first; a source is the image of one. */
  readonly frontends: readonly { readonly name: string; readonly source: string }[];
  /** What a process ended with. */
  readonly exitCode: number | undefined;
  /** Details of other types, as they came. */
  readonly others: readonly RpcErrorDetail[];
}

/** Reads the details of a failure, of whatever depth in its causes. */
export function failureDetails(error: unknown): FailureDetails {
  const sources: { file: SourceFile; ranges: SourceRange[] }[] = [];
  const denials: string[] = [];
  const stacks: unknown[] = [];
  const frontends: { name: string; source: string }[] = [];
  const others: RpcErrorDetail[] = [];
  let vertex: string | undefined;
  let exitCode: number | undefined;
  for (const detail of detailsOf(error)) {
    const value = parseJson(detail);
    switch (typeName(detail)) {
      case "errdefs.Source+json": {
        const source = parseSource(value);
        if (source !== undefined) sources.push(source);
        break;
      }
      case "errdefs.Vertex+json":
        vertex ??= textOf(value["digest"]);
        break;
      case "stack.Stack+json":
        stacks.push(value);
        break;
      case "errdefs.Frontend+json":
        frontends.push({ name: textOf(value["name"]), source: textOf(value["source"]) });
        break;
      case "gatewayapi.ExitMessage+json":
        exitCode ??= Number(value["Code"] ?? 0);
        break;
      default:
        if (typeName(detail).endsWith("DecisionResponse+json")) denials.push(...parseDenials(value));
        else others.push(detail);
    }
  }
  return { sources, vertex, denials, stacks, frontends, exitCode, others };
}

/** A daemon's failure as the error that says most about it; the original is its cause. */
export function typedError(error: unknown): BuildError {
  const known = BuildError.from(error);
  const { sources, vertex } = failureDetails(known);
  const place = sources.at(-1);
  if (place !== undefined) {
    return new SourceError(known.message, { code: known.code, source: place.file, ranges: place.ranges, cause: known });
  }
  return vertex === undefined ? known : new VertexError(vertex, known);
}

function detailsOf(error: unknown): readonly RpcErrorDetail[] {
  let current = error;
  for (let depth = 0; depth < 32 && current instanceof Error; depth += 1) {
    // An error that adds context repeats the details of its cause.
    if (current instanceof RpcError && current.details.length > 0) return current.details;
    current = current.cause;
  }
  return [];
}

function typeName(detail: RpcErrorDetail): string {
  return detail.typeUrl.replace(prefix, "").replace(/^(?:solver|util)\//, "");
}

function parseJson(detail: RpcErrorDetail): Record<string, unknown> {
  try {
    return recordOf(JSON.parse(Buffer.from(detail.value).toString("utf8")));
  } catch {
    // A detail that cannot be read only makes the message poorer.
    return {};
  }
}

function parseSource(value: Record<string, unknown>): { file: SourceFile; ranges: SourceRange[] } | undefined {
  const info = recordOf(value["info"]);
  if (Object.keys(info).length === 0) return undefined;
  const ranges = Array.isArray(value["ranges"]) ? value["ranges"].map((range) => parseRange(recordOf(range))) : [];
  const file = {
    filename: textOf(info["filename"]),
    language: textOf(info["language"]),
    data: Buffer.from(textOf(info["data"]), "base64"),
  };
  return { file, ranges };
}

function parseRange(range: Record<string, unknown>): SourceRange {
  const start = parsePosition(range["start"]);
  const end = parsePosition(range["end"]);
  return { start, end: end.line === 0 ? start : end };
}

function parsePosition(value: unknown): { line: number; character: number } {
  const position = recordOf(value);
  return { line: Number(position["line"]) || 0, character: Number(position["character"]) || 0 };
}

function parseDenials(value: Record<string, unknown>): string[] {
  const messages = value["denyMessages"] ?? value["DenyMessages"] ?? value["deny_messages"];
  if (!Array.isArray(messages)) return [];
  return messages.map((message) => textOf(recordOf(message)["message"])).filter((text) => text !== "");
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
