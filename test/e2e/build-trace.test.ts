import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TestDaemon } from "./support/daemon.ts";
import { temporaryFolder } from "./support/processes.ts";

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

function serviceOf(resource: TracedSpan["Resource"]): string | undefined {
  return resource.find(({ Key }) => Key === "service.name")?.Value.Value;
}
