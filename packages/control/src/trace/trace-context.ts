import { randomBytes } from "node:crypto";
import type { CallTrace } from "@buildkit-ts/session";

/** Which trace something belongs to, and what it was called by; ids in hexadecimal. */
export interface TraceContext {
  readonly traceId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
  /** Whether spans of the trace are meant to be recorded by those that are called. */
  readonly isSampled: boolean;
  /** What tracing systems and the caller say besides, which is passed on as it came: W3C `tracestate` and `baggage`. */
  readonly passedOn: { readonly tracestate?: string; readonly baggage?: string };
}

/** By the specifications the least that has to be passed on; what is longer is dropped, whole. */
const maxStateLength = 512;
const maxBaggageLength = 8192;

/** What a request says of the span that sent it; undefined, if that is nothing that can be used. */
export function readCallTrace(headers: Pick<Headers, "get">): CallTrace | undefined {
  const { traceId, parentSpanId, isSampled, passedOn } = readTraceContext(headers);
  return parentSpanId === "" ? undefined : callTrace({ traceId, spanId: parentSpanId, isSampled }, passedOn);
}

/** The headers that name a span. */
export function callTrace(
  span: { readonly traceId: string; readonly spanId: string; readonly isSampled: boolean },
  passedOn: TraceContext["passedOn"],
): CallTrace {
  return { traceparent: `00-${span.traceId}-${span.spanId}-${span.isSampled ? "01" : "00"}`, ...passedOn };
}

/** What W3C trace headers say; a trace of its own, if they say nothing that can be used. */
export function readTraceContext(headers: Pick<Headers, "get">): TraceContext {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/.exec(
    headers.get("traceparent") ?? "",
  );
  const [, traceId = "", parentSpanId = "", flags = ""] = match ?? [];
  const isValid = /[^0]/.test(traceId) && /[^0]/.test(parentSpanId);
  const baggage = readText(headers.get("baggage"), maxBaggageLength);
  const tracestate = isValid ? readText(headers.get("tracestate"), maxStateLength) : undefined;
  return {
    ...(isValid ? { traceId, parentSpanId } : { traceId: randomBytes(16).toString("hex"), parentSpanId: "" }),
    isSampled: !isValid || (Number.parseInt(flags, 16) & 1) === 1,
    passedOn: { ...(tracestate !== undefined && { tracestate }), ...(baggage !== undefined && { baggage }) },
  };
}

function readText(value: string | null, maxLength: number): string | undefined {
  if (value === null || value.length > maxLength) return undefined;
  return /^[\x20-\x7e]+$/.test(value) ? value : undefined;
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
