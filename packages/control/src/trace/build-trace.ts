import type { controlpb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import { versionInfo } from "../wire/version.ts";
import type { Span } from "./span-json.ts";
import { createSpanId, type TraceContext } from "./trace-context.ts";

const resource = new Map([
  ["service.name", "buildkitd"],
  ["service.version", versionInfo.version],
]);
const scope = { name: "buildkitd", version: versionInfo.version };
const internalKind = 1;
const serverKind = 2;

/** The daemon's own spans of one build: the request, and in it each step as often as it was at work. */
export class BuildTrace {
  readonly traceId: string;
  readonly #parentSpanId: string;
  readonly #spanId = createSpanId();
  readonly #startNs: bigint;
  readonly #ref: string;
  readonly #ended: controlpb.Vertex[] = [];

  constructor(context: TraceContext, build: { readonly ref: string; readonly startedAtMs: number }) {
    this.traceId = context.traceId;
    this.#parentSpanId = context.parentSpanId;
    this.#ref = build.ref;
    this.#startNs = BigInt(Math.round(build.startedAtMs * 1e6));
  }

  /** What processes of the build are told, so that their spans belong to it. */
  get traceParent(): string {
    return `00-${this.traceId}-${this.#spanId}-01`;
  }

  /** Takes what the progress says of a step; only what has ended is a span. */
  addVertex(vertex: controlpb.Vertex): void {
    if (vertex.started !== undefined && vertex.completed !== undefined) this.#ended.push(vertex);
  }

  /** All spans, when the build has ended: the request first, as there may be more than a record takes. */
  *end(outcome: { readonly endedAtMs: number; readonly error?: unknown }): Generator<Span, void> {
    const error = outcome.error === undefined ? "" : BuildError.from(outcome.error).message;
    yield {
      ...this.#common("moby.buildkit.v1.Control/Solve"),
      spanId: this.#spanId,
      parentSpanId: this.#parentSpanId,
      kind: serverKind,
      startNs: this.#startNs,
      endNs: BigInt(Math.round(outcome.endedAtMs * 1e6)),
      attributes: new Map([["build.ref", this.#ref]]),
      status: { code: error === "" ? "Unset" : "Error", description: error },
    };
    // Of a step that began and ended once the last word counts.
    const steps = new Map(this.#ended.map((vertex) => [`${vertex.digest} ${nanoseconds(vertex.started)}`, vertex]));
    for (const vertex of steps.values()) yield this.#step(vertex);
  }

  #step({ digest, name, cached, started, completed, error }: controlpb.Vertex): Span {
    return {
      ...this.#common(name),
      spanId: createSpanId(),
      parentSpanId: this.#spanId,
      kind: internalKind,
      startNs: nanoseconds(started),
      endNs: nanoseconds(completed),
      attributes: new Map<string, string | boolean>([
        ["vertex", digest],
        ["cached", cached],
      ]),
      status: { code: error === "" ? "Unset" : "Error", description: error },
    };
  }

  #common(name: string): Pick<Span, "traceId" | "name" | "events" | "links" | "resource" | "scope"> {
    return { traceId: this.traceId, name, events: [], links: [], resource, scope };
  }
}

function nanoseconds(time: { readonly seconds: bigint; readonly nanos: number } | undefined): bigint {
  return time === undefined ? 0n : time.seconds * 1_000_000_000n + BigInt(time.nanos);
}
