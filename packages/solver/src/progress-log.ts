import { abortable } from "@buildkit-ts/async";
import type { Digest } from "@buildkit-ts/oci";
import type { ProgressEvent, VertexEvent } from "./types.ts";

interface Entry {
  readonly sequence: number;
  readonly event: ProgressEvent;
  dead: boolean;
}

/** Step output that a job keeps for readers that are behind or come late. */
const maxVertexLogBytes = 2 * 1024 * 1024;
const maxJobLogBytes = 64 * 1024 * 1024;

/**
 * One job's progress in order, in memory that does not grow with its length.
 *
 * Of a vertex and of a status only the newest state is kept, of a step's output the newest bytes. A reader that keeps up
 * sees every event; one that is behind sees the newest of each.
 */
export class ProgressLog {
  readonly #vertices = new Map<Digest, VertexEvent>();
  readonly #latestVertices = new Map<Digest, Entry>();
  /** Of statuses and explanations. */
  readonly #latest = new Map<string, Entry>();
  readonly #logs = new Map<Digest, { readonly entries: Entry[]; bytes: number; first: number }>();
  #logOrder: Entry[] = [];
  #logOrderFirst = 0;
  #logBytes = 0;
  #entries: Entry[] = [];
  #dead = 0;
  #next = 0;
  #closed = false;
  /** Of readers that wait. */
  #wake: PromiseWithResolvers<void> | undefined;

  append(event: ProgressEvent): void {
    if (this.#closed) return;
    if (event.kind === "vertex") this.#vertexEvent(event.vertex);
    else if (event.kind === "status") this.#replace(this.#latest, `status ${event.vertex} ${event.update.id}`, event);
    else if (event.kind === "log") this.#logEvent(event);
    else if (event.kind === "explanation") this.#replace(this.#latest, `explanation ${event.vertex}`, event);
    else this.#push(event);
    this.#compact();
    this.#signal();
  }

  /** No more events come. What was begun and has not ended was canceled. */
  close(at: number): void {
    if (this.#closed) return;
    const cached = this.#belowCached();
    for (const vertex of this.#vertices.values()) {
      if (vertex.startedAt === undefined || vertex.completedAt !== undefined) continue;
      const error = vertex.error ?? (cached.has(vertex.digest) ? undefined : "context canceled");
      this.#replaceVertex({ ...vertex, completedAt: at, error });
    }
    this.#closed = true;
    this.#signal();
  }

  /** Many at once: a promise for each event of a large graph would cost more than the work. */
  async *events(options: { readonly signal: AbortSignal }): AsyncGenerator<readonly ProgressEvent[], void, undefined> {
    let next = 0;
    for (;;) {
      options.signal.throwIfAborted();
      const entries = this.#entriesFrom(next);
      if (entries.length > 0) {
        next = this.#next;
        yield entries.map(({ event }) => event);
      } else if (this.#closed) return;
      else await abortable((this.#wake ??= Promise.withResolvers()).promise, options.signal);
    }
  }

  #vertexEvent(event: VertexEvent): void {
    const pending = [event];
    for (let vertex = pending.pop(); vertex !== undefined; vertex = pending.pop()) {
      this.#vertices.set(vertex.digest, vertex);
      this.#replaceVertex(vertex);
      if (vertex.startedAt === undefined) continue;
      // An input that never had to begin was cached: nothing but the step upon it says so.
      for (const digest of vertex.inputs) {
        const input = this.#vertices.get(digest);
        if (input === undefined || input.cached || input.completedAt !== undefined) continue;
        pending.push({ ...input, cached: true, startedAt: vertex.startedAt, completedAt: vertex.startedAt });
      }
    }
  }

  #belowCached(): Set<Digest> {
    const below = new Set<Digest>();
    const pending = [...this.#vertices.values()].filter((vertex) => vertex.cached);
    for (let vertex = pending.pop(); vertex !== undefined; vertex = pending.pop()) {
      if (below.has(vertex.digest)) continue;
      below.add(vertex.digest);
      for (const digest of vertex.inputs) {
        const input = this.#vertices.get(digest);
        if (input !== undefined) pending.push(input);
      }
    }
    return below;
  }

  #logEvent(event: ProgressEvent & { readonly kind: "log" }): void {
    const entry = this.#push(event);
    let log = this.#logs.get(event.vertex);
    if (log === undefined) this.#logs.set(event.vertex, (log = { entries: [], bytes: 0, first: 0 }));
    log.entries.push(entry);
    log.bytes += event.data.length;
    this.#logOrder.push(entry);
    this.#logBytes += event.data.length;
    while (log.bytes > maxVertexLogBytes && log.first < log.entries.length - 1) this.#dropLog(log.entries[log.first]);
    while (this.#logBytes > maxJobLogBytes) this.#dropLog(this.#logOrder[this.#logOrderFirst]);
  }

  #dropLog(entry: Entry | undefined): void {
    if (entry?.event.kind !== "log") return;
    const size = entry.event.data.length;
    const log = this.#logs.get(entry.event.vertex);
    this.#kill(entry);
    this.#logBytes -= size;
    if (log !== undefined) {
      log.bytes -= size;
      while (log.entries[log.first]?.dead === true) log.first += 1;
      if (log.first > 1024) {
        log.entries.splice(0, log.first);
        log.first = 0;
      }
    }
    while (this.#logOrder[this.#logOrderFirst]?.dead === true) this.#logOrderFirst += 1;
    if (this.#logOrderFirst > 4096) {
      this.#logOrder = this.#logOrder.slice(this.#logOrderFirst);
      this.#logOrderFirst = 0;
    }
  }

  #replaceVertex(vertex: VertexEvent): void {
    this.#replace(this.#latestVertices, vertex.digest, { kind: "vertex", vertex });
  }

  #replace<K>(latest: Map<K, Entry>, key: K, event: ProgressEvent): void {
    const old = latest.get(key);
    if (old !== undefined) this.#kill(old);
    latest.set(key, this.#push(event));
  }

  #push(event: ProgressEvent): Entry {
    const entry = { sequence: this.#next++, event, dead: false };
    this.#entries.push(entry);
    return entry;
  }

  #kill(entry: Entry): void {
    if (entry.dead) return;
    entry.dead = true;
    this.#dead += 1;
  }

  #compact(): void {
    if (this.#dead < 4096 || this.#dead * 2 < this.#entries.length) return;
    this.#entries = this.#entries.filter((entry) => !entry.dead);
    this.#dead = 0;
  }

  /** The live entries at or after a sequence number. */
  #entriesFrom(sequence: number): Entry[] {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle]?.sequence ?? 0) < sequence) low = middle + 1;
      else high = middle;
    }
    return this.#entries.slice(low).filter(({ dead }) => !dead);
  }

  #signal(): void {
    this.#wake?.resolve();
    this.#wake = undefined;
  }
}
