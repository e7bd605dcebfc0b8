/** A named piece of work inside a vertex, such as a blob that is being fetched: `VertexStatus` on the wire. */
export interface StatusUpdate {
  /** Unique within the vertex, such as `extracting sha256:…`. */
  readonly id: string;
  /** Shown instead of the id, if set. */
  readonly name?: string;
  readonly current?: number;
  readonly total?: number;
  /** Milliseconds since the epoch, fractions allowed. */
  readonly started: number;
  readonly completed?: number;
}

/** A warning attached to a vertex, as linters raise them. */
export interface VertexWarning {
  readonly level: number;
  readonly short: string;
  readonly detail: readonly string[];
  readonly url: string;
  readonly source?: { readonly filename: string; readonly language: string; readonly data: Uint8Array };
  readonly ranges: readonly {
    readonly start: { readonly line: number; readonly character: number };
    readonly end: { readonly line: number; readonly character: number };
  }[];
}

/**
 * Where an operation reports what it does. Reports of one vertex keep their order.
 *
 * Never throws and never blocks the operation: a slow client is the business of whoever implements this.
 */
export interface ProgressWriter {
  status(update: StatusUpdate): void;
  /** Output of a step. The bytes are the receiver's: the caller must not change them afterwards. */
  log(stream: 1 | 2, data: Uint8Array): void;
  warn(warning: VertexWarning): void;
  /** A writer for a further vertex (such as `[auth] …` or `exporting to image`) shown beside this one. */
  vertex(name: string): SubVertex;
}

/** A vertex that is no op of the graph. It must be completed exactly once. */
export interface SubVertex extends ProgressWriter {
  complete(error?: unknown): void;
}

/** Runs `work` as a status of its own: started before, completed after, also when it fails. */
export async function withStatus<T>(progress: ProgressWriter, id: string, work: () => Promise<T>): Promise<T> {
  const started = Date.now();
  progress.status({ id, started });
  try {
    return await work();
  } finally {
    progress.status({ id, started, completed: Date.now() });
  }
}

/** Runs `work` as a vertex of its own. */
export async function withVertex<T>(
  progress: ProgressWriter,
  name: string,
  work: (progress: ProgressWriter) => Promise<T>,
): Promise<T> {
  const vertex = progress.vertex(name);
  try {
    const result = await work(vertex);
    vertex.complete();
    return result;
  } catch (error) {
    vertex.complete(error);
    throw error;
  }
}

/** Discards everything. */
export const noProgress: ProgressWriter = {
  status: () => undefined,
  log: () => undefined,
  warn: () => undefined,
  vertex: () => ({ ...noProgress, complete: () => undefined }),
};
