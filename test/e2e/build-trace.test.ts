import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { Auth } from "@buildkit-ts/api/buildkit/auth";
import { FileSend, FileSync } from "@buildkit-ts/api/buildkit/filesync";
import { Secrets } from "@buildkit-ts/api/buildkit/secrets";
import { TraceService } from "@buildkit-ts/api/opentelemetry/trace_service";
import { BuildError } from "@buildkit-ts/errdefs";
import { definitionToProto, image, scratch } from "@buildkit-ts/llb";
import { type ReceivedMetadata, withCallTrace } from "@buildkit-ts/session";
import { callUnary } from "@buildkit-ts/session/rpc";
import type { Attachable } from "@buildkit-ts/session/serving";
import { busyboxContext } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";
import { TestRegistry } from "./support/registry.ts";
import { solve, solveOk } from "./support/solve.ts";

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

test("what a client is asked for says which of its steps asks, with what the client passed on", async () => {
  using folder = temporaryFolder("session-trace");
  await using daemon = await TestDaemon.start(folder.path);
  const context = await busyboxContext(
    folder.path,
    "FROM scratch\nCOPY busybox /bin/sh\nRUN --mount=type=secret,id=s export > /env\n",
  );
  const passedOn = { tracestate: "vendor=1", baggage: "user=me" };
  const given = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ...passedOn };
  const asked = new Map<string, ReceivedMetadata>();
  const attachables: Attachable[] = [
    (server) => {
      server.handleUnary(Secrets.method.getSecret, async (_request, call) => {
        asked.set("secret", call.metadata);
        return { data: Buffer.from("s") };
      });
    },
  ];
  const out = join(folder.path, "out");
  const exports = [{ type: "local", attributes: {}, target: { kind: "directory", path: out, mirror: false } }] as const;
  const solved = await withCallTrace(given, async () => await solveOk(daemon, context, { attachables, exports }));
  const traceText = await daemon.buildctlOk(["debug", "logs", "--trace", solved.response?.ref ?? ""]);
  const spans = traceText
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as TracedSpan);
  const root = spans.find(({ Name }) => Name.endsWith("Control/Solve"));
  assert.equal(root?.Parent.SpanID, "b7ad6b7169203331");
  const step = spans.find(({ Name }) => Name.includes("RUN --mount=type=secret"));
  const secret = asked.get("secret");
  const expected = `00-0af7651916cd43dd8448eb211c80319c-${step?.SpanContext.SpanID}-01`;
  assert.deepEqual(secret?.["traceparent"], [expected]);
  assert.deepEqual([secret?.["tracestate"], secret?.["baggage"]], [["vendor=1"], ["user=me"]]);
  const env = readFileSync(join(out, "env"), "utf8");
  assert.ok(env.includes(`TRACEPARENT='${expected}'`), env);
  assert.ok(env.includes("TRACESTATE='vendor=1'"), env);
});

test("a client that is asked for files, credentials and outputs hears of the trace each time", async () => {
  using folder = temporaryFolder("session-traces");
  await using daemon = await TestDaemon.start(folder.path);
  const htpasswd = join(folder.path, "htpasswd");
  writeFileSync(htpasswd, "user:$2y$05$abcdefghijklmnopqrstuuZFBUbfXoM8LFiPx8LYlO/sXZB/Cwk3K\n");
  await using registry = await TestRegistry.start(folder.path, { htpasswd });
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const asked = new Map<string, string>();
  const note =
    (name: string) =>
    async (_stream: unknown, { metadata }: { readonly metadata: ReceivedMetadata }): Promise<never> => {
      asked.set(name, metadata["traceparent"]?.[0] ?? "");
      throw new BuildError("permission_denied", `no ${name}`);
    };
  const attachables: Attachable[] = [
    (server) => {
      server.handleStream(FileSync.method.diffCopy, note("files"));
      server.handleStream(FileSend.method.diffCopy, note("outputs"));
      server.handleStream(Auth.method.credentials, note("credentials"));
    },
  ];
  const trace = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
  const failed = await withCallTrace(
    trace,
    async () => await solve(daemon, { frontend: "dockerfile.v0", directories: {}, attachables }),
  );
  assert.match(String(failed.error), /no files/);
  const definition = definitionToProto(image(`${registry.host}/none`).marshal());
  await withCallTrace(trace, async () => await solve(daemon, { definition, attachables }));
  const exports = [{ type: "tar", attributes: {} }];
  const refused = await withCallTrace(
    trace,
    async () => await solve(daemon, { definition: definitionToProto(scratch().marshal()), exports, attachables }),
  );
  assert.match(String(refused.error), /no outputs/);
  assert.deepEqual([...asked.keys()].toSorted(), ["credentials", "files", "outputs"]);
  for (const [name, traceparent] of asked)
    assert.match(traceparent, new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`), name);
  assert.equal(new Set(asked.values()).size, 3, "each says what asked");
});

function serviceOf(resource: TracedSpan["Resource"]): string | undefined {
  return resource.find(({ Key }) => Key === "service.name")?.Value.Value;
}
