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
  readonly #latest = new Map<string, Entry>();
  readonly #logs = new Map<Digest, { readonly entries: Entry[]; bytes: number; first: number }>();
  #logOrder: Entry[] = [];
  #logOrderFirst = 0;
  #logBytes = 0;
  #entries: Entry[] = [];
  #dead = 0;
  #next = 0;
  #closed = false;
  #wake = Promise.withResolvers<void>();

  append(event: ProgressEvent): void {
    if (this.#closed) return;
    if (event.kind === "vertex") this.#vertexEvent(event.vertex);
    else if (event.kind === "status") this.#replace(`status ${event.vertex} ${event.update.id}`, event);
    else if (event.kind === "log") this.#logEvent(event);
    else if (event.kind === "explanation") this.#replace(`explanation ${event.vertex}`, event);
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
      this.#replace(`vertex ${vertex.digest}`, { kind: "vertex", vertex: { ...vertex, completedAt: at, error } });
    }
    this.#closed = true;
    this.#signal();
  }

  async *events(options: { readonly signal: AbortSignal }): AsyncGenerator<ProgressEvent, void, undefined> {
    let next = 0;
    for (;;) {
      options.signal.throwIfAborted();
      const wake = this.#wake.promise;
      for (let entry = this.#entryFrom(next); entry !== undefined; entry = this.#entryFrom(next)) {
        next = entry.sequence + 1;
        yield entry.event;
      }
      if (this.#closed) return;
      await abortable(wake, options.signal);
    }
  }

  #vertexEvent(event: VertexEvent): void {
    const pending = [event];
    for (let vertex = pending.pop(); vertex !== undefined; vertex = pending.pop()) {
      this.#vertices.set(vertex.digest, vertex);
      this.#replace(`vertex ${vertex.digest}`, { kind: "vertex", vertex });
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

  #replace(key: string, event: ProgressEvent): void {
    const old = this.#latest.get(key);
    if (old !== undefined) this.#kill(old);
    this.#latest.set(key, this.#push(event));
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

  /** The first live entry at or after a sequence number. */
  #entryFrom(sequence: number): Entry | undefined {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle]?.sequence ?? 0) < sequence) low = middle + 1;
      else high = middle;
    }
    while (this.#entries[low]?.dead === true) low += 1;
    return this.#entries[low];
  }

  #signal(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}
