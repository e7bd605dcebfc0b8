import type { otlppb } from "@buildkit-ts/api";
import type { AttributeValue, Span } from "./span-json.ts";

/** The spans of an export of OpenTelemetry's protocol. Those without proper ids are left out. */
export function* spansOf(resources: readonly otlppb.ResourceSpans[]): Generator<Span> {
  for (const { resource, scopeSpans } of resources) {
    const attributes = attributesOf(resource?.attributes ?? []);
    for (const { scope, spans } of scopeSpans) {
      const { name = "", version = "" } = scope ?? {};
      for (const span of spans) {
        if (span.traceId.length !== 16 || span.spanId.length !== 8) continue;
        yield { ...spanOf(span), resource: attributes, scope: { name, version } };
      }
    }
  }
}

function spanOf(span: otlppb.Span): Omit<Span, "resource" | "scope"> {
  return {
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentSpanId: span.parentSpanId.length === 8 ? hex(span.parentSpanId) : "",
    name: span.name,
    kind: span.kind,
    startNs: span.startTimeUnixNano,
    endNs: span.endTimeUnixNano,
    attributes: attributesOf(span.attributes),
    events: span.events.map(({ name, timeUnixNano, attributes }) => ({
      name,
      atNs: timeUnixNano,
      attributes: attributesOf(attributes),
    })),
    links: span.links.map(({ traceId, spanId }) => ({ traceId: hex(traceId), spanId: hex(spanId) })),
    status: { code: statusCodes[span.status?.code ?? 0] ?? "Unset", description: span.status?.message ?? "" },
  };
}

const statusCodes = ["Unset", "Ok", "Error"] as const;

function attributesOf(list: readonly otlppb.KeyValue[]): Map<string, AttributeValue> {
  const attributes = new Map<string, AttributeValue>();
  for (const { key, value } of list) {
    const known = valueOf(value?.value);
    if (known !== undefined) attributes.set(key, known);
  }
  return attributes;
}

/** Undefined for what Go's library has no type for. */
function valueOf(value: otlppb.AnyValue["value"] | undefined): AttributeValue | undefined {
  switch (value?.case) {
    case "stringValue":
    case "boolValue":
    case "intValue":
    case "doubleValue":
      return value.value;
    case "arrayValue":
      return value.value.values.map((item) => String(item.value.case === "stringValue" ? item.value.value : ""));
    case "bytesValue":
    case "kvlistValue":
    case undefined:
      return undefined;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
