/** One value of an attribute: those that OpenTelemetry's Go library has. */
export type AttributeValue = string | boolean | bigint | number | readonly string[];

/** A span as BuildKit keeps it in a build's record. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: ReadonlyMap<string, AttributeValue>;
  readonly events: readonly SpanEvent[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status: { readonly code: "Unset" | "Ok" | "Error"; readonly description: string };
  readonly resource: ReadonlyMap<string, AttributeValue>;
  readonly scope: { readonly name: string; readonly version: string };
}

/** Something that happened within a span. */
export interface SpanEvent {
  readonly name: string;
  readonly atNs: bigint;
  readonly attributes: ReadonlyMap<string, AttributeValue>;
}

/** The span in the JSON of Go's `tracetest.SpanStub`: a trace's blob has one such value after the other. */
export function spanJson(span: Span): string {
  const { resource, scope } = span;
  const own = JSON.stringify({
    Name: span.name,
    SpanContext: contextJson(span.traceId, span.spanId),
    Parent: contextJson(span.parentSpanId === "" ? "" : span.traceId, span.parentSpanId),
    SpanKind: span.kind,
    StartTime: timeJson(span.startNs),
    EndTime: timeJson(span.endNs),
    Attributes: attributesJson(span.attributes),
    Events: span.events.map(({ name, atNs, attributes }) => ({
      Name: name,
      Attributes: attributesJson(attributes),
      DroppedAttributeCount: 0,
      Time: timeJson(atNs),
    })),
    Links: span.links.map(({ traceId, spanId }) => ({
      SpanContext: contextJson(traceId, spanId),
      Attributes: null,
      DroppedAttributeCount: 0,
    })),
    Status: { Code: span.status.code, Description: span.status.description },
    DroppedAttributes: 0,
    DroppedEvents: 0,
    DroppedLinks: 0,
    ChildSpanCount: 0,
  });
  const library = sharedText(scope, () => ({
    Name: scope.name,
    Version: scope.version,
    SchemaURL: "",
    Attributes: null,
  }));
  const shared = `"Resource":${sharedText(resource, () => attributesJson(resource))},"InstrumentationScope":${library}`;
  return `${own.slice(0, -1)},${shared},"InstrumentationLibrary":${library}}`;
}

/** Of what all spans of a process say alike. */
const sharedTexts = new WeakMap<object, string>();

function sharedText(part: object, describe: () => object): string {
  const known = sharedTexts.get(part);
  if (known !== undefined) return known;
  const text = JSON.stringify(describe());
  sharedTexts.set(part, text);
  return text;
}

function contextJson(traceId: string, spanId: string): object {
  return {
    TraceID: traceId === "" ? "0".repeat(32) : traceId,
    SpanID: spanId === "" ? "0".repeat(16) : spanId,
    TraceFlags: spanId === "" ? "00" : "01",
    TraceState: "",
    Remote: false,
  };
}

function attributesJson(attributes: ReadonlyMap<string, AttributeValue>): object[] {
  return [...attributes].map(([Key, value]) => ({ Key, Value: valueJson(value) }));
}

function valueJson(value: AttributeValue): object {
  if (typeof value === "string") return { Type: "STRING", Value: value };
  if (typeof value === "boolean") return { Type: "BOOL", Value: value };
  // JSON numbers beyond what a double holds would be others when they are read.
  if (typeof value === "bigint") return { Type: "INT64", Value: Number(value) };
  if (typeof value === "number") return { Type: "FLOAT64", Value: Number.isFinite(value) ? value : 0 };
  return { Type: "STRINGSLICE", Value: value };
}

/** RFC 3339 with nanoseconds. */
function timeJson(ns: bigint): string {
  // JavaScript's dates end in the year 275760; a clock that says more is none.
  const ms = Number(ns / 1_000_000n) % 8.64e15;
  const fraction = String(ns % 1_000_000_000n).padStart(9, "0");
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction}Z`;
}
