import { randomBytes } from "node:crypto";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestOf } from "@buildkit-ts/oci";
import type { ProgressWriter, StatusUpdate, SubVertex, VertexWarning } from "@buildkit-ts/progress";
import type { Explanation } from "./explainer.ts";
import type { ProgressEvent, Vertex, VertexEvent } from "./types.ts";

/** Receives a vertex's progress: the log of a job, or another vertex that waits for the same work. */
export type ProgressSink = (event: ProgressEvent) => void;

/** Logs of a step beyond this are no longer replayed to those who come late; the oldest go first. */
const maxReplayBytes = 2 * 1024 * 1024;

/**
 * One vertex's progress, shared by all jobs that have the vertex.
 *
 * A sink that comes late gets what was reported so far, then all that follows.
 */
export class VertexLog implements ProgressWriter {
  readonly digest: Digest;
  readonly #now: () => number;
  readonly #sinks = new Set<ProgressSink>();
  // Most steps of a large graph have none of these.
  #children: Set<VertexLog> | undefined;
  #statuses: Map<string, StatusUpdate> | undefined;
  readonly #warnings: VertexWarning[] = [];
  #explanation: (ProgressEvent & { readonly kind: "explanation" }) | undefined;
  readonly #logs: (ProgressEvent & { readonly kind: "log" })[] = [];
  #logBytes = 0;
  #event: VertexEvent;

  constructor(event: VertexEvent, now: () => number) {
    this.digest = event.digest;
    this.#event = event;
    this.#now = now;
  }

  /** The log of an op's vertex that has not begun. */
  static of(vertex: Vertex, now: () => number): VertexLog {
    const event: VertexEvent = {
      digest: vertex.digest,
      inputs: vertex.inputs.map((input) => input.vertex.digest),
      name: vertex.name,
      cached: false,
      startedAt: undefined,
      completedAt: undefined,
      error: undefined,
      progressGroup: vertex.options.progressGroup,
    };
    return new VertexLog(event, now);
  }

  attach(sink: ProgressSink): void {
    if (this.#sinks.has(sink)) return;
    this.#sinks.add(sink);
    sink({ kind: "vertex", vertex: this.#event });
    for (const update of this.#statuses?.values() ?? []) sink({ kind: "status", vertex: this.digest, update });
    for (const event of this.#logs) sink(event);
    for (const warning of this.#warnings) sink({ kind: "warning", vertex: this.digest, warning });
    if (this.#explanation !== undefined) sink(this.#explanation);
    for (const child of this.#children ?? []) child.attach(sink);
  }

  detach(sink: ProgressSink): void {
    this.#sinks.delete(sink);
    for (const child of this.#children ?? []) child.detach(sink);
  }

  /** Runs work as an interval of this vertex: started before, completed after, with the error's text if it fails. */
  async interval<T>(cached: boolean, work: () => Promise<T>): Promise<T> {
    this.start(cached);
    try {
      const value = await work();
      this.complete(undefined);
      return value;
    } catch (error) {
      this.complete(error);
      throw error;
    }
  }

  start(cached: boolean): void {
    this.#emit({ ...this.#event, cached, startedAt: this.#now(), completedAt: undefined, error: undefined });
  }

  complete(error: unknown): void {
    this.#emit({ ...this.#event, completedAt: this.#now(), error: error === undefined ? undefined : errorText(error) });
  }

  /** Reports what another vertex reports as this one's own, until the given function is called. */
  follow(other: VertexLog): () => void {
    const sink: ProgressSink = (event) => {
      if (event.kind === "vertex") {
        if (event.vertex.digest !== other.digest || event.vertex.startedAt === undefined) return;
        const { cached, startedAt, completedAt, error } = event.vertex;
        this.#emit({ ...this.#event, cached, startedAt, completedAt, error });
      } else if (event.vertex === other.digest) this.#report({ ...event, vertex: this.digest });
    };
    other.attach(sink);
    return () => other.detach(sink);
  }

  status(update: StatusUpdate): void {
    this.#report({ kind: "status", vertex: this.digest, update });
  }

  log(stream: 1 | 2, data: Uint8Array): void {
    this.#report({ kind: "log", vertex: this.digest, stream, data, at: this.#now() });
  }

  warn(warning: VertexWarning): void {
    this.#report({ kind: "warning", vertex: this.digest, warning });
  }

  /** Why the vertex is executed; undefined while it is not. */
  get explanation(): Explanation | undefined {
    return this.#explanation?.explanation;
  }

  explain(explanation: Explanation): void {
    this.#report({ kind: "explanation", vertex: this.digest, explanation, at: this.#now() });
  }

  vertex(name: string): SubVertex {
    const child = new VertexLog(
      {
        digest: digestOf(`${name}:${randomBytes(16).toString("hex")}`),
        inputs: [],
        name,
        cached: false,
        startedAt: this.#now(),
        completedAt: undefined,
        error: undefined,
        progressGroup: this.#event.progressGroup,
      },
      this.#now,
    );
    this.#children ??= new Set();
    this.#children.add(child);
    for (const sink of this.#sinks) child.attach(sink);
    return child;
  }

  #emit(event: VertexEvent): void {
    this.#event = event;
    for (const sink of this.#sinks) sink({ kind: "vertex", vertex: event });
  }

  #report(event: Exclude<ProgressEvent, { readonly kind: "vertex" }>): void {
    if (event.kind === "status") {
      this.#statuses ??= new Map();
      this.#statuses.set(event.update.id, event.update);
    } else if (event.kind === "warning") this.#warnings.push(event.warning);
    else if (event.kind === "explanation") this.#explanation = event;
    else {
      this.#logs.push(event);
      this.#logBytes += event.data.length;
      while (this.#logBytes > maxReplayBytes && this.#logs.length > 1) {
        this.#logBytes -= this.#logs.shift()?.data.length ?? 0;
      }
    }
    for (const sink of this.#sinks) sink(event);
  }
}

/** What the status stream says of a failure; being canceled has one text for all clients. */
function errorText(error: unknown): string {
  const failure = BuildError.from(error);
  return failure.code === "canceled" ? "context canceled" : failure.message;
}
