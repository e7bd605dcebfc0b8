import { type Span, spanJson } from "./span-json.ts";

/** What one trace may take; what comes beyond is dropped. */
const maxTraceBytes = 8 << 20;
/** What the traces may take together that no build has taken yet. */
const maxBytes = 64 << 20;
/** How long a trace is kept that no build asks for: clients send spans before and after their builds. */
const keepMs = 60_000;
/** How long one is kept that all its builds have taken: another may follow. */
const keepTakenMs = 10_000;

interface StoredTrace {
  readonly lines: string[];
  bytes: number;
  lastAt: number;
  readers: number;
  isFull: boolean;
  isTaken: boolean;
}

/** The spans that clients and builds have reported, by trace, until the builds' records take them. */
export class TraceStore {
  readonly #now: () => number;
  /** In the order in which they were last added to or held. */
  readonly #traces = new Map<string, StoredTrace>();
  #bytes = 0;
  #collecting: NodeJS.Timeout | undefined;

  constructor(options: { readonly now?: () => number } = {}) {
    this.#now = options.now ?? Date.now;
  }

  /** What all traces take together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes what fits; of a trace that is full, and while running builds hold all that may be kept, nothing does. */
  add(spans: Iterable<Span>): void {
    for (const span of spans) this.#addSpan(span);
    this.#collect();
  }

  #addSpan(span: Span): void {
    const trace = this.#trace(span.traceId);
    if (trace.isFull) return;
    const line = spanJson(span);
    if (this.#bytes + line.length > maxBytes) this.#collect(maxBytes - line.length);
    trace.isFull = trace.bytes + line.length > maxTraceBytes;
    const isTooMuch = this.#bytes + line.length > maxBytes;
    if (isTooMuch || trace.isFull || this.#traces.get(span.traceId) !== trace) return;
    trace.lines.push(line);
    trace.bytes += line.length;
    this.#bytes += line.length;
  }

  #trace(id: string): StoredTrace {
    const trace = this.#traces.get(id) ?? {
      lines: [],
      bytes: 0,
      lastAt: 0,
      readers: 0,
      isFull: false,
      isTaken: false,
    };
    trace.lastAt = this.#now();
    this.#traces.delete(id);
    this.#traces.set(id, trace);
    return trace;
  }

  /** Keeps a trace until all its holds are disposed; by then whoever wants its spans has taken them. */
  hold(id: string): Disposable & { lines(): readonly string[] } {
    const trace = this.#trace(id);
    trace.readers += 1;
    let isHeld = true;
    return {
      lines: () => trace.lines,
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        trace.readers -= 1;
        trace.isTaken = true;
        this.#collectLater();
      },
    };
  }

  /** Drops what is too old, and of the rest the oldest, as far as that is needed and nobody holds it. */
  #collect(allowedBytes: number = maxBytes): void {
    const now = this.#now();
    for (const [id, trace] of this.#traces) {
      const age = now - trace.lastAt;
      // Those that follow are younger.
      if (age < keepTakenMs && this.#bytes <= allowedBytes) break;
      const isOld = age >= (trace.isTaken ? keepTakenMs : keepMs);
      if (trace.readers > 0 || !(isOld || this.#bytes > allowedBytes)) continue;
      this.#traces.delete(id);
      this.#bytes -= trace.bytes;
    }
    if (this.#traces.size > 0) this.#collectLater();
  }

  /** Also when nobody adds anything: a daemon at rest shall not keep what its last clients said. */
  #collectLater(): void {
    if (this.#collecting !== undefined) return;
    this.#collecting = setTimeout(() => {
      this.#collecting = undefined;
      this.#collect();
    }, keepTakenMs).unref();
  }
}
