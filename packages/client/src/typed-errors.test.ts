import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { SourceError, VertexError } from "@buildkit-ts/errdefs";
import { RpcError } from "@buildkit-ts/session/rpc";
import { failureDetails, typedError } from "./typed-errors.ts";

function detail(type: string, value: unknown): { readonly typeUrl: string; readonly value: Uint8Array } {
  return { typeUrl: `github.com/moby/buildkit/${type}+json`, value: Buffer.from(JSON.stringify(value)) };
}

suite("typedError()", () => {
  test("gives a place in a file what a daemon says of it", () => {
    const data = Buffer.from("FROM x\nRUN y\n").toString("base64");
    const source = {
      info: { filename: "Dockerfile", data, language: "Dockerfile" },
      ranges: [{ start: { line: 2 }, end: {} }],
    };
    const remote = new RpcError("not_found", "no such image", {
      details: [detail("errdefs.Vertex", { digest: "sha256:1" }), detail("errdefs.Source", source)],
    });
    const error = typedError(remote);
    assert.ok(error instanceof SourceError);
    assert.equal(error.code, "not_found");
    assert.equal(Buffer.from(error.source?.data ?? []).toString(), "FROM x\nRUN y\n");
    assert.deepEqual(error.ranges, [{ start: { line: 2, character: 0 }, end: { line: 2, character: 0 } }]);
    assert.equal(failureDetails(new Error("context", { cause: remote })).vertex, "sha256:1");
  });

  test("tells which frontend failed, what a process ended with, and keeps what it does not know", () => {
    const solve = detail("errdefs.Solve", { inputIDs: ["w::1"] });
    const remote = new RpcError("unknown", "exit code: 3", {
      details: [
        detail("errdefs.Frontend", { name: "gateway.v0", source: "me/frontend" }),
        detail("errdefs.Frontend", { name: "dockerfile.v0" }),
        detail("gatewayapi.ExitMessage", { Code: 3 }),
        solve,
      ],
    });
    const { frontends, exitCode, others } = failureDetails(remote);
    assert.deepEqual(frontends, [
      { name: "gateway.v0", source: "me/frontend" },
      { name: "dockerfile.v0", source: "" },
    ]);
    assert.equal(exitCode, 3);
    assert.deepEqual(others, [solve]);
  });

  test("gives a vertex without a place, and passes all else on", () => {
    const remote = new RpcError("unknown", "exit code: 1", {
      details: [detail("errdefs.Vertex", { digest: "sha256:2" })],
    });
    const error = typedError(remote);
    assert.ok(error instanceof VertexError);
    assert.equal(error.vertex, "sha256:2");
    const plain = new RpcError("internal", "x", { details: [{ typeUrl: "unknown", value: Buffer.from("{") }] });
    assert.equal(typedError(plain), plain);
  });
});
