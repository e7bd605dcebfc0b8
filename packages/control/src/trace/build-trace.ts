import type { controlpb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { CallTrace } from "@buildkit-ts/session";
import type { TraceOfBuild } from "@buildkit-ts/worker";
import { versionInfo } from "../wire/version.ts";
import type { Span } from "./span-json.ts";
import { callTrace, createSpanId, type TraceContext } from "./trace-context.ts";

const resource = new Map([
  ["service.name", "buildkitd"],
  ["service.version", versionInfo.version],
]);
const scope = { name: "buildkitd", version: versionInfo.version };
const internalKind = 1;
const serverKind = 2;

/** The daemon's own spans of one build: the request, and in it each step as often as it was at work. */
export class BuildTrace implements TraceOfBuild {
  readonly traceId: string;
  readonly #context: TraceContext;
  readonly #spanId = createSpanId();
  readonly #startNs: bigint;
  readonly #ref: string;
  /** Steps that have ended, as often as they did. */
  readonly #ended = new Map<string, { readonly vertex: controlpb.Vertex; readonly spanId: string }>();
  /** Spans of steps that are at work, or will be, as far as somebody asked for them. */
  readonly #open = new Map<string, string>();

  constructor(context: TraceContext, build: { readonly ref: string; readonly startedAtMs: number }) {
    this.traceId = context.traceId;
    this.#context = context;
    this.#ref = build.ref;
    this.#startNs = BigInt(Math.round(build.startedAtMs * 1e6));
  }

  /** What is told to those that the build calls, so that their spans belong to it. */
  get call(): CallTrace {
    return this.#callBy(this.#spanId);
  }

  callOf(step: string): CallTrace {
    const spanId = this.#open.get(step) ?? createSpanId();
    this.#open.set(step, spanId);
    return this.#callBy(spanId);
  }

  #callBy(spanId: string): CallTrace {
    const { isSampled, passedOn } = this.#context;
    return callTrace({ traceId: this.traceId, spanId, isSampled }, passedOn);
  }

  /** Takes what the progress says of a step; only what has ended is a span. */
  addVertex(vertex: controlpb.Vertex): void {
    const { digest, started, completed } = vertex;
    if (started === undefined || completed === undefined) return;
    // Of a step that began and ended once the last word counts.
    const key = `${digest} ${nanoseconds(started)}`;
    const spanId = this.#ended.get(key)?.spanId ?? this.#open.get(digest) ?? createSpanId();
    this.#open.delete(digest);
    this.#ended.set(key, { vertex, spanId });
  }

  /** All spans, when the build has ended: the request first, as there may be more than a record takes. */
  *end(outcome: { readonly endedAtMs: number; readonly error?: unknown }): Generator<Span, void> {
    const error = outcome.error === undefined ? "" : BuildError.from(outcome.error).message;
    yield {
      ...this.#common("moby.buildkit.v1.Control/Solve"),
      spanId: this.#spanId,
      parentSpanId: this.#context.parentSpanId,
      kind: serverKind,
      startNs: this.#startNs,
      endNs: BigInt(Math.round(outcome.endedAtMs * 1e6)),
      attributes: new Map([["build.ref", this.#ref]]),
      status: { code: error === "" ? "Unset" : "Error", description: error },
    };
    for (const { vertex, spanId } of this.#ended.values()) yield this.#step(vertex, spanId);
  }

  #step({ digest, name, cached, started, completed, error }: controlpb.Vertex, spanId: string): Span {
    return {
      ...this.#common(name),
      spanId,
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
