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

/**
 * The span in the JSON of Go's `tracetest.SpanStub`: a trace's blob has one such value after the other. Put together as text:
 * a trace has a span for each step of a build, and nearly all of it is names.
 */
export function spanJson(span: Span): string {
  const { traceId, scope, resource, status } = span;
  const library = sharedText(scope, () => {
    return `{"Name":${quote(scope.name)},"Version":${quote(scope.version)},"SchemaURL":"","Attributes":null}`;
  });
  return (
    `{"Name":${quote(span.name)},"SpanContext":${contextJson(traceId, span.spanId)},` +
    `"Parent":${contextJson(span.parentSpanId === "" ? "" : traceId, span.parentSpanId)},"SpanKind":${span.kind},` +
    `"StartTime":${timeJson(span.startNs)},"EndTime":${timeJson(span.endNs)},` +
    `"Attributes":${attributesJson(span.attributes)},"Events":${listJson(span.events, eventJson)},` +
    `"Links":${listJson(span.links, linkJson)},` +
    `"Status":{"Code":"${status.code}","Description":${quote(status.description)}},` +
    `"DroppedAttributes":0,"DroppedEvents":0,"DroppedLinks":0,"ChildSpanCount":0,` +
    `"Resource":${sharedText(resource, () => attributesJson(resource))},` +
    `"InstrumentationScope":${library},"InstrumentationLibrary":${library}}`
  );
}

/** Of what all spans of a process say alike. */
const sharedTexts = new WeakMap<object, string>();

function sharedText(part: object, describe: () => string): string {
  const known = sharedTexts.get(part);
  if (known !== undefined) return known;
  const text = describe();
  sharedTexts.set(part, text);
  return text;
}

function contextJson(traceId: string, spanId: string): string {
  const trace = traceId === "" ? "0".repeat(32) : traceId;
  const ids = `"TraceID":${quote(trace)},"SpanID":${quote(spanId === "" ? "0".repeat(16) : spanId)}`;
  return `{${ids},"TraceFlags":"${spanId === "" ? "00" : "01"}","TraceState":"","Remote":false}`;
}

function eventJson({ name, atNs, attributes }: SpanEvent): string {
  const fields = `"Name":${quote(name)},"Attributes":${attributesJson(attributes)}`;
  return `{${fields},"DroppedAttributeCount":0,"Time":${timeJson(atNs)}}`;
}

function linkJson({ traceId, spanId }: Span["links"][number]): string {
  return `{"SpanContext":${contextJson(traceId, spanId)},"Attributes":null,"DroppedAttributeCount":0}`;
}

function attributesJson(attributes: ReadonlyMap<string, AttributeValue>): string {
  return listJson([...attributes], ([key, value]) => `{"Key":${quote(key)},"Value":${valueJson(value)}}`);
}

function listJson<T>(items: readonly T[], itemJson: (item: T) => string): string {
  return items.length === 0 ? "[]" : `[${items.map(itemJson).join(",")}]`;
}

function valueJson(value: AttributeValue): string {
  if (typeof value === "string") return `{"Type":"STRING","Value":${quote(value)}}`;
  if (typeof value === "boolean") return `{"Type":"BOOL","Value":${value}}`;
  // JSON numbers beyond what a double holds would be others when they are read.
  if (typeof value === "bigint") return `{"Type":"INT64","Value":${Number(value)}}`;
  if (typeof value === "number") return `{"Type":"FLOAT64","Value":${Number.isFinite(value) ? value : 0}}`;
  return `{"Type":"STRINGSLICE","Value":${JSON.stringify(value)}}`;
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** RFC 3339 with nanoseconds. */
function timeJson(ns: bigint): string {
  // JavaScript's dates end in the year 275760; a clock that says more is none.
  const second = Number(ns / 1_000_000_000n) % 8.64e12;
  if (second !== lastSecond.second) lastSecond = { second, text: new Date(second * 1000).toISOString().slice(0, 19) };
  return `"${lastSecond.text}.${String(ns % 1_000_000_000n).padStart(9, "0")}Z"`;
}

/** Most spans of a trace are of the same second, and naming it takes longer than all else of a time. */
let lastSecond = { second: 0, text: "1970-01-01T00:00:00" };
