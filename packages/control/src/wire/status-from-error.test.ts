import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError, codeNumber, ExitError, SourceError, UnknownJobError, VertexError } from "@buildkit-ts/errdefs";
import { errorFromStatus } from "./error-from-status.ts";
import { statusFromError } from "./status-from-error.ts";

const range = { start: { line: 3, character: 0 }, end: { line: 4, character: 7 } };
const source = { filename: "Dockerfile", language: "Dockerfile", data: Buffer.from("FROM scratch\n") };

function nested(): SourceError {
  const exit = new ExitError(7, 'process "false" did not complete successfully: exit code: 7');
  const vertex = new VertexError("sha256:abc", exit);
  return new SourceError(vertex.message, { code: vertex.code, cause: vertex, source, ranges: [range] });
}

test("statusFromError() sends a detail for each class in the chain, outermost first", () => {
  const types = statusFromError(nested()).details.map(({ typeUrl }) => typeUrl);
  assert.deepEqual(types, [
    "github.com/moby/buildkit/errdefs.Source+json",
    "github.com/moby/buildkit/errdefs.Vertex+json",
    "github.com/moby/buildkit/gatewayapi.ExitMessage+json",
    "github.com/moby/buildkit/stack.Stack+json",
  ]);
});

test("statusFromError() writes JSON as Go does: zero columns are left out", () => {
  const [detail] = statusFromError(nested()).details;
  const json = JSON.parse(Buffer.from(detail?.value ?? []).toString("utf8")) as { ranges: unknown };
  assert.deepEqual(json.ranges, [{ start: { line: 3 }, end: { line: 4, character: 7 } }]);
});

test("the graph that a file is from has the protocol's names in JSON, and comes back", () => {
  const message = create(opspb.DefinitionSchema, {
    def: [Buffer.from("op")],
    metadata: { "sha256:aa": { ignoreCache: true, description: { "llb.customname": "load" } } },
  });
  const definition = toBinary(opspb.DefinitionSchema, message);
  const status = statusFromError(new SourceError("no", { source: { ...source, definition }, ranges: [range] }));
  const json = JSON.parse(Buffer.from(status.details[0]?.value ?? []).toString("utf8"));
  assert.deepEqual(json.info.definition, {
    def: ["b3A="],
    metadata: { "sha256:aa": { ignore_cache: true, description: { "llb.customname": "load" } } },
  });
  const back = errorFromStatus(status);
  assert.ok(back instanceof SourceError);
  assert.deepEqual(Buffer.from(back.source?.definition ?? []), Buffer.from(definition));
});

test("errorFromStatus() gives back what statusFromError() was given", () => {
  const back = errorFromStatus(statusFromError(nested()));
  assert.ok(back instanceof SourceError);
  assert.deepEqual(back.ranges, [range]);
  assert.equal(back.source?.filename, "Dockerfile");
  assert.ok(back.cause instanceof VertexError);
  assert.equal(back.cause.vertex, "sha256:abc");
  assert.ok(back.cause.cause instanceof ExitError);
  assert.equal(back.cause.cause.exitCode, 7);
});

test("errorFromStatus() keeps code and text when a detail is not readable", () => {
  const status = statusFromError(new BuildError("not_found", "gone"));
  status.details.push({ $typeName: "google.protobuf.Any", typeUrl: "x/errdefs.Vertex+json", value: Buffer.from("{") });
  const back = errorFromStatus(status);
  assert.equal(back.code, "not_found");
  assert.equal(back.message, "gone");
});

test("details that nothing here looks at are passed on as they are, in their places", () => {
  const detail = (type: string, value: string) => ({
    $typeName: "google.protobuf.Any" as const,
    typeUrl: `github.com/moby/buildkit/${type}`,
    value: Buffer.from(value),
  });
  const sent = statusFromError(new BuildError("unknown", "no"));
  sent.details = [
    detail("errdefs.Frontend+json", '{"name":"gateway.v0","source":"x"}'),
    detail("errdefs.Source+json", "not JSON"),
    detail("errdefs.Vertex+json", '{"digest":"sha256:1"}'),
    detail("errdefs.Solve+json", '{"inputIDs":["a"],"op":{"inputs":[]}}'),
    { ...detail("", "\u0000\u0001"), typeUrl: "type.googleapis.com/google.rpc.DebugInfo" },
  ];
  const told = statusFromError(errorFromStatus(sent)).details.filter(({ typeUrl }) => !typeUrl.includes("stack.Stack"));
  const text = (details: readonly { readonly typeUrl: string; readonly value: Uint8Array }[]) =>
    details.map(({ typeUrl, value }) => [typeUrl, Buffer.from(value).toString()]);
  assert.deepEqual(text(told), text(sent.details));
});

test("errorFromStatus() makes of details with other fields than they should have what it can", () => {
  for (const json of ["5", "[]", '{"ranges":5,"info":[],"digest":{},"denyMessages":[null],"Code":"x","name":7}']) {
    const status = statusFromError(new BuildError("not_found", "gone"));
    const types = ["errdefs.Vertex", "errdefs.Source", "gatewayapi.ExitMessage", "policysession.DecisionResponse"];
    status.details = types.map((type) => ({
      $typeName: "google.protobuf.Any",
      typeUrl: `github.com/moby/buildkit/${type}+json`,
      value: Buffer.from(json),
    }));
    assert.equal(errorFromStatus(status).message, "gone");
  }
});

test("errorFromStatus() keeps no more foreign details than headers can hold", () => {
  const value = Buffer.alloc(40 << 10);
  const status = statusFromError(new BuildError("unknown", "no"));
  const foreign = { $typeName: "google.protobuf.Any" as const, typeUrl: "x/other", value };
  status.details = Array.from({ length: 1000 }, () => foreign);
  const kept = statusFromError(errorFromStatus(status)).details.filter(({ typeUrl }) => typeUrl === "x/other");
  assert.equal(kept.length, 3);
});

test("statusFromError() gives a failed build the code unknown, which Go's clients print as the text alone", () => {
  for (const code of ["invalid_argument", "not_found", "unavailable", "data_loss"] as const)
    assert.equal(statusFromError(new BuildError(code, "no"), "build").code, 2, code);
  for (const code of ["canceled", "deadline_exceeded", "resource_exhausted", "unimplemented", "internal"] as const)
    assert.equal(statusFromError(new BuildError(code, "no"), "build").code, codeNumber(code), code);
  assert.equal(statusFromError(new UnknownJobError("x"), "build").code, codeNumber("not_found"));
});

test("statusFromError() keeps the code of a refused request", () => {
  assert.equal(statusFromError(new BuildError("invalid_argument", "no")).code, codeNumber("invalid_argument"));
});

test("statusFromError() tells a cancelled build as gRPC clients know it", () => {
  const status = statusFromError(new DOMException("No waiter is left", "AbortError"));
  assert.equal(status.code, 1);
  assert.equal(status.message, "context canceled");
});
