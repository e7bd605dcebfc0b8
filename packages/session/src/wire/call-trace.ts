import { AsyncLocalStorage } from "node:async_hooks";

/** The W3C headers that tell a callee which span a call was caused by. */
export interface CallTrace {
  readonly traceparent: string;
  readonly tracestate?: string;
  readonly baggage?: string;
}

// Beside all arguments, as tracing is everywhere: it changes nothing that a call does, and what goes on for several
// builds belongs to the one that began it.
const current = new AsyncLocalStorage<CallTrace>();

/** Runs work whose calls to clients say what they were caused by. */
export function withCallTrace<T>(trace: CallTrace, work: () => T): T {
  return current.run(trace, work);
}

/** Headers for a call that is made now; none outside of {@linkcode withCallTrace}. */
export function callTraceHeaders(): Readonly<Record<string, string>> {
  return { ...current.getStore() };
}
