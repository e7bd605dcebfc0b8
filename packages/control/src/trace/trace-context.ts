import { randomBytes } from "node:crypto";

/** Which trace something belongs to, and what it was called by; ids in hexadecimal. */
export interface TraceContext {
  readonly traceId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
}

/** What a W3C `traceparent` header says; a trace of its own, if it says nothing that can be used. */
export function readTraceContext(header: string | null): TraceContext {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-|$)/.exec(header ?? "");
  const [, traceId = "", parentSpanId = ""] = match ?? [];
  const isValid = /[^0]/.test(traceId) && /[^0]/.test(parentSpanId);
  return isValid ? { traceId, parentSpanId } : { traceId: randomBytes(16).toString("hex"), parentSpanId: "" };
}

const spanIdBytes = 8;
/** Random bytes come from the system in one piece for many ids: every step of every build has one. */
let random = Buffer.alloc(0);

/** A new id for a span. */
export function createSpanId(): string {
  if (random.length === 0) random = randomBytes(64 * spanIdBytes);
  const id = random.toString("hex", 0, spanIdBytes);
  random = random.subarray(spanIdBytes);
  return id;
}
