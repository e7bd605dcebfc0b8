import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError } from "@buildkit-ts/errdefs";
import { storeError } from "./store-error.ts";

const options = { signal: new AbortController().signal, secrets: ["S3CRET"] };

suite("storeError()", () => {
  test("tells what the library says, without its secrets and the queries of URLs", () => {
    const request = { headers: { authorization: "S3CRET" } };
    const thrown = Object.assign(new Error("S3CRET is wrong at https://a.example/b?sig=abc&se=1 now\nRequestId: 1"), {
      code: "AuthenticationFailed",
      statusCode: 403,
      request,
    });
    const error = storeError(thrown, 'read blob "x"', options);
    assert.ok(error instanceof BuildError);
    assert.equal(error.code, "permission_denied");
    assert.equal(
      error.message,
      'Cannot read blob "x": AuthenticationFailed: xxxxx is wrong at https://a.example/b?REDACTED now',
    );
    assert.equal(error.cause, undefined);
  });

  test("has a code by which callers can act", () => {
    const byStatus = (status: number) => storeError({ $metadata: { httpStatusCode: status } }, "act", options);
    const codes = [401, 404, 429, 500, 503, 418].map((status) => (byStatus(status) as BuildError).code);
    assert.deepEqual(codes, [
      "unauthenticated",
      "not_found",
      "resource_exhausted",
      "unavailable",
      "unavailable",
      "unknown",
    ]);
    const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    assert.equal((storeError(refused, "act", options) as BuildError).code, "unavailable");
    const unknown = Object.assign(new Error("getaddrinfo ENOTFOUND none.example"), { code: "ENOTFOUND" });
    assert.equal(
      storeError(unknown, "act", options).message,
      "Cannot act: dial tcp: lookup none.example: no such host",
    );
  });

  test("keeps errors that are ours, however deep, and the reason of what was aborted", () => {
    const own = new BuildError("data_loss", "lost");
    assert.equal(storeError(new Error("upload failed", { cause: own }), "act", options), own);
    const reason = new Error("nobody waits");
    assert.equal(storeError(new Error("aborted"), "act", { ...options, signal: AbortSignal.abort(reason) }), reason);
  });
});
