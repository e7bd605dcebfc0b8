import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { TraceService } from "@buildkit-ts/api/opentelemetry/trace_service";
import { callUnary } from "@buildkit-ts/session/rpc";
import { busyboxContext } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { solveOk } from "./support/solve.ts";

interface TracedSpan {
  readonly Name: string;
  readonly SpanContext: { readonly TraceID: string; readonly SpanID: string };
  readonly Parent: { readonly SpanID: string };
  readonly Status: { readonly Code: string };
  readonly Resource: readonly { readonly Key: string; readonly Value: { readonly Value: string } }[];
}

test("a build's record has its trace: the client's spans, and in them the daemon's", async () => {
  using folder = temporaryFolder("build-trace");
  await using daemon = await TestDaemon.start(folder.path);
  const context = join(folder.path, "context");
  mkdirSync(context);
  writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /a\n");
  const metadata = join(folder.path, "metadata.json");
  const out = join(folder.path, "out");
  const built = await daemon.buildx(["build", "--metadata-file", metadata, "-o", out, context]);
  assert.equal(built.code, 0, built.output);
  const { "buildx.build.ref": name } = JSON.parse(readFileSync(metadata, "utf8")) as Record<string, string>;
  const ref = name?.split("/").at(-1) ?? "";
  const trace = await daemon.buildctlOk(["debug", "logs", "--trace", ref]);
  const spans = trace
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as TracedSpan);
  const solve = spans.find(
    ({ Name, Resource }) => Name.endsWith("Control/Solve") && serviceOf(Resource) === "buildkitd",
  );
  const step = spans.find(({ Name }) => Name.includes("COPY Dockerfile /a"));
  assert.equal(step?.Parent.SpanID, solve?.SpanContext.SpanID);
  // buildx sends its own spans when the build is over; what has come by now says where the daemon's belong.
  assert.notEqual(solve?.Parent.SpanID, "0".repeat(16));
  assert.equal(new Set(spans.map(({ SpanContext }) => SpanContext.TraceID)).size, 1);
  const client = spans.filter(({ Resource }) => serviceOf(Resource) === "buildx");
  assert.ok(client.some(({ SpanContext }) => SpanContext.SpanID === solve?.Parent.SpanID));
});

test("processes of steps find the daemon's collector, and their spans are part of the build's trace", async () => {
  using folder = temporaryFolder("step-trace");
  await using daemon = await TestDaemon.start(folder.path);
  const context = await busyboxContext(
    folder.path,
    "FROM scratch\nCOPY busybox /bin/sh\nENV OTEL_TRACES_EXPORTER=none\nRUN [ -S /dev/otel-grpc.sock ] && export > /env\n",
  );
  const out = join(folder.path, "out");
  const solved = await solveOk(daemon, context, {
    exports: [{ type: "local", attributes: {}, target: { kind: "directory", path: out, mirror: false } }],
  });
  const env = readFileSync(join(out, "env"), "utf8");
  assert.match(env, /OTEL_EXPORTER_OTLP_TRACES_ENDPOINT='unix:\/\/\/dev\/otel-grpc.sock'/);
  assert.match(env, /OTEL_TRACES_EXPORTER='none'/, "what the step sets itself stays");
  const [, traceId = "", spanId = ""] = /TRACEPARENT='00-([0-9a-f]{32})-([0-9a-f]{16})-01'/.exec(env) ?? [];
  const socket = connect(join(daemon.root, "otel-grpc.sock"));
  const session = http2.connect("http://localhost", { createConnection: () => socket });
  const span = {
    traceId: Buffer.from(traceId, "hex"),
    spanId: Buffer.from("00f067aa0ba902b7", "hex"),
    parentSpanId: Buffer.from(spanId, "hex"),
    name: "inside",
  };
  const request = { resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] };
  await callUnary(session, { method: TraceService.method.export, request }, { signal: AbortSignal.timeout(10_000) });
  session.close();
  const trace = await daemon.buildctlOk(["debug", "logs", "--trace", solved.response?.ref ?? ""]);
  assert.match(trace, /"Name":"inside"/);
});

function serviceOf(resource: TracedSpan["Resource"]): string | undefined {
  return resource.find(({ Key }) => Key === "service.name")?.Value.Value;
}
