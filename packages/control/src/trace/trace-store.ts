import { type Span, spanJson } from "./span-json.ts";

/** What one trace may take; what comes beyond is dropped. */
const maxTraceBytes = 8 << 20;
/** What the traces may take together that no build has taken yet. */
const maxBytes = 64 << 20;
/** How long a trace is kept that no build asks for: clients send spans before and after their builds. */
const keepMs = 60_000;

interface StoredTrace {
  readonly lines: string[];
  bytes: number;
  lastAt: number;
  readers: number;
}

/** The spans that clients and builds have reported, by trace, until the builds' records take them. */
export class TraceStore {
  readonly #now: () => number;
  /** In the order in which they were last added to. */
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

  add(spans: Iterable<Span>): void {
    for (const span of spans) this.#addSpan(span);
    this.#collect();
  }

  #addSpan(span: Span): void {
    const trace = this.#trace(span.traceId);
    trace.lastAt = this.#now();
    const line = spanJson(span);
    if (trace.bytes + line.length > maxTraceBytes) return;
    trace.lines.push(line);
    trace.bytes += line.length;
    this.#bytes += line.length;
  }

  #trace(id: string): StoredTrace {
    const trace = this.#traces.get(id) ?? { lines: [], bytes: 0, lastAt: 0, readers: 0 };
    this.#traces.delete(id);
    this.#traces.set(id, trace);
    return trace;
  }

  /** Keeps a trace until all its holds are disposed; by then whoever wants its spans has taken them, and it is gone. */
  hold(id: string): Disposable & { lines(): readonly string[] } {
    const trace = this.#trace(id);
    trace.lastAt = this.#now();
    trace.readers += 1;
    let isHeld = true;
    return {
      lines: () => trace.lines,
      [Symbol.dispose]: () => {
        if (isHeld) trace.readers -= 1;
        isHeld = false;
        if (trace.readers === 0) this.#drop(id, trace);
      },
    };
  }

  #collect(): void {
    const oldest = this.#now() - keepMs;
    for (const [id, trace] of this.#traces) {
      // Those that follow are younger.
      if (trace.lastAt >= oldest && this.#bytes <= maxBytes) {
        this.#collectLater();
        return;
      }
      if (trace.readers === 0) this.#drop(id, trace);
    }
  }

  /** Also when nobody adds anything: a daemon at rest shall not keep what its last clients said. */
  #collectLater(): void {
    if (this.#collecting !== undefined) return;
    this.#collecting = setTimeout(() => {
      this.#collecting = undefined;
      this.#collect();
    }, keepMs).unref();
  }

  #drop(id: string, trace: StoredTrace): void {
    if (this.#traces.get(id) !== trace) return;
    this.#traces.delete(id);
    this.#bytes -= trace.bytes;
  }
}
