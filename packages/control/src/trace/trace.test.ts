import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { controlpb, otlppb } from "@buildkit-ts/api";
import { BuildTrace } from "./build-trace.ts";
import { spansOf } from "./otlp-spans.ts";
import { type AttributeValue, type Span, spanJson } from "./span-json.ts";
import { readCallTrace, readTraceContext } from "./trace-context.ts";
import { TraceStore } from "./trace-store.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";

function exported(name: string, options: { readonly traceId?: string } = {}): otlppb.ResourceSpans {
  return create(otlppb.ResourceSpansSchema, {
    resource: { attributes: [{ key: "service.name", value: { value: { case: "stringValue", value: "buildx" } } }] },
    scopeSpans: [
      {
        scope: { name: "lib", version: "1" },
        spans: [
          {
            traceId: Buffer.from(options.traceId ?? traceId, "hex"),
            spanId: Buffer.from("b7ad6b7169203331", "hex"),
            name,
            kind: 3,
            startTimeUnixNano: 1_700_000_000_123_456_789n,
            endTimeUnixNano: 1_700_000_001_000_000_000n,
            attributes: [
              { key: "count", value: { value: { case: "intValue", value: 3n } } },
              { key: "odd", value: { value: { case: "kvlistValue", value: { values: [] } } } },
            ],
            status: { code: 2, message: "broken" },
          },
        ],
      },
    ],
  });
}

suite("readTraceContext()", () => {
  test("takes the ids of a traceparent, and makes new ones of anything else", () => {
    const header = `00-${traceId}-b7ad6b7169203331-01`;
    const known = { traceId, parentSpanId: "b7ad6b7169203331", isSampled: true, passedOn: {} };
    assert.deepEqual(readTraceContext(new Headers({ traceparent: header })), known);
    for (const odd of ["", "nonsense", `00-${"0".repeat(32)}-b7ad6b7169203331-01`, header.toUpperCase()]) {
      const made = readTraceContext(new Headers({ traceparent: odd, tracestate: "a=b" }));
      assert.match(made.traceId, /^[0-9a-f]{32}$/);
      assert.equal(made.parentSpanId, "");
      assert.deepEqual(made.passedOn, {}, "the state of no trace");
    }
  });

  test("passes on what it does not read, as far as that is bounded text", () => {
    const traceparent = `00-${traceId}-b7ad6b7169203331-00`;
    const given = { tracestate: "vendor=1,other=2", baggage: "user=me,team=a%20b" };
    const context = readTraceContext(new Headers({ traceparent, ...given }));
    assert.deepEqual([context.passedOn, context.isSampled], [given, false]);
    assert.deepEqual(readCallTrace(new Headers({ traceparent, ...given })), { traceparent, ...given });
    assert.deepEqual(readTraceContext(new Headers({ baggage: "a=b" })).passedOn, { baggage: "a=b" });
    assert.equal(readCallTrace(new Headers({ baggage: "a=b" })), undefined, "there is no span that calls");
    const long = { tracestate: "a".repeat(513), baggage: "a".repeat(8193) };
    assert.deepEqual(readTraceContext(new Headers({ traceparent, ...long })).passedOn, {});
    assert.deepEqual(readTraceContext(new Headers({ traceparent, baggage: "a=\u00e9" })).passedOn, {});
  });
});

suite("spanJson()", () => {
  test("writes an exported span as Go's library reads it", () => {
    const [span] = [...spansOf([exported("work")])];
    assert.ok(span !== undefined);
    const json = JSON.parse(spanJson(span)) as Record<string, unknown>;
    assert.equal(json["StartTime"], "2023-11-14T22:13:20.123456789Z");
    assert.deepEqual(json["Attributes"], [{ Key: "count", Value: { Type: "INT64", Value: 3 } }]);
    assert.deepEqual(json["Status"], { Code: "Error", Description: "broken" });
    assert.deepEqual(json["Resource"], [{ Key: "service.name", Value: { Type: "STRING", Value: "buildx" } }]);
    assert.equal((json["Parent"] as Record<string, unknown>)["SpanID"], "0".repeat(16));
  });

  test("writes any text as JSON does", () => {
    const text = `"quoted" \\ \n\u2028 \ud800 {"a":1}`;
    const [given] = [...spansOf([exported("x")])];
    assert.ok(given !== undefined);
    const span: Span = {
      ...given,
      name: text,
      attributes: new Map<string, AttributeValue>([
        [text, text],
        ["list", [text, ""]],
        ["nan", Number.NaN],
        ["yes", true],
      ]),
      events: [{ name: text, atNs: 1n, attributes: new Map([["a", text]]) }],
      status: { code: "Error", description: text },
    };
    const json = JSON.parse(spanJson(span)) as { [name: string]: unknown };
    const known = JSON.parse(JSON.stringify(text)) as string;
    assert.deepEqual(json["Name"], known);
    assert.deepEqual(json["Attributes"], [
      { Key: known, Value: { Type: "STRING", Value: known } },
      { Key: "list", Value: { Type: "STRINGSLICE", Value: [known, ""] } },
      { Key: "nan", Value: { Type: "FLOAT64", Value: 0 } },
      { Key: "yes", Value: { Type: "BOOL", Value: true } },
    ]);
    assert.deepEqual(json["Events"], [
      {
        Name: known,
        Attributes: [{ Key: "a", Value: { Type: "STRING", Value: known } }],
        DroppedAttributeCount: 0,
        Time: "1970-01-01T00:00:00.000000001Z",
      },
    ]);
    assert.deepEqual(json["Status"], { Code: "Error", Description: known });
  });

  test("survives times that no clock shows", () => {
    const span: Span = { ...([...spansOf([exported("x")])][0] as Span), startNs: 2n ** 64n - 1n, endNs: 0n };
    assert.match(spanJson(span), /"EndTime":"1970-01-01T00:00:00.000000000Z"/);
  });
});

suite("TraceStore", () => {
  test("keeps a trace that nobody has asked for yet a minute", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
    const store = new TraceStore();
    store.add(spansOf([exported("a")]));
    t.mock.timers.tick(59_000);
    assert.notEqual(store.bytes, 0);
    t.mock.timers.tick(15_000);
    assert.equal(store.bytes, 0);
  });

  test("keeps a trace until the last of its builds has taken it, and a little longer", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
    const store = new TraceStore();
    const first = store.hold(traceId);
    const second = store.hold(traceId);
    store.add(spansOf([exported("a")]));
    t.mock.timers.tick(100_000);
    store.add(spansOf([exported("other", { traceId: "1".repeat(32) })]));
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    t.mock.timers.tick(100_000);
    assert.equal(second.lines().length, 1);
    store.add(spansOf([exported("b")]));
    second[Symbol.dispose]();
    t.mock.timers.tick(5000);
    assert.notEqual(store.bytes, 0);
    t.mock.timers.tick(20_000);
    assert.equal(store.bytes, 0);
  });

  test("takes no more than it may while builds hold their traces", () => {
    const store = new TraceStore();
    using holds = new DisposableStack();
    for (let i = 1; i <= 40; i += 1) {
      const id = String(i).padStart(32, "0");
      holds.use(store.hold(id));
      for (let k = 0; k < 45; k += 1) store.add(spansOf([exported("x".repeat(200_000), { traceId: id })]));
    }
    assert.ok(store.bytes <= 64 << 20 && store.bytes > 60 << 20, String(store.bytes));
  });

  test("takes no more of a trace than it may, whatever a client sends", () => {
    const store = new TraceStore();
    using held = store.hold(traceId);
    for (let i = 0; i < 100; i += 1) store.add(spansOf([exported("x".repeat(200_000))]));
    const bytes = held.lines().reduce((sum, line) => sum + line.length, 0);
    assert.ok(bytes <= 8 << 20 && bytes > 7 << 20, String(bytes));
  });

  test("leaves out spans without proper ids", () => {
    assert.deepEqual([...spansOf([exported("x", { traceId: "ab" })])], []);
  });
});

suite("BuildTrace", () => {
  test("has the request and in it each step that has ended", () => {
    const context = { traceId, parentSpanId: "b7ad6b7169203331", isSampled: true, passedOn: { baggage: "a=b" } };
    const trace = new BuildTrace(context, { ref: "r", startedAtMs: 1000 });
    const vertex = create(controlpb.VertexSchema, { digest: "sha256:a", name: "step", started: { seconds: 2n } });
    trace.addVertex(vertex);
    const call = trace.callOf("sha256:a");
    assert.deepEqual(trace.callOf("sha256:a"), call, "it is one span while it is at work");
    const ended = { ...vertex, completed: { ...vertex.started, seconds: 3n } } as controlpb.Vertex;
    trace.addVertex(ended);
    trace.addVertex({ ...ended, error: "exit code: 1" });
    const [root, step, ...more] = trace.end({ endedAtMs: 4000, error: new Error("exit code: 1") });
    assert.deepEqual(more, []);
    assert.equal(root?.parentSpanId, "b7ad6b7169203331");
    assert.equal(step?.parentSpanId, root?.spanId);
    assert.deepEqual(call, { traceparent: `00-${traceId}-${step?.spanId}-01`, baggage: "a=b" });
    assert.deepEqual(trace.call, { traceparent: `00-${traceId}-${root?.spanId}-01`, baggage: "a=b" });
    assert.deepEqual([step?.startNs, step?.endNs], [2_000_000_000n, 3_000_000_000n]);
    assert.deepEqual(step?.status, { code: "Error", description: "exit code: 1" });
  });
});
