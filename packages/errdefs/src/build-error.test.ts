import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { BuildError } from "./build-error.ts";

suite("BuildError.from()", () => {
  test("classifies the body's failure when disposal fails as well", async () => {
    const lease: AsyncDisposable = {
      async [Symbol.asyncDispose]() {
        throw new Error("lease store is read-only");
      },
    };
    const run = async (): Promise<void> => {
      await using _held = lease;
      throw new BuildError("not_found", "Cannot open blob");
    };
    await assert.rejects(run, (e: unknown) => {
      const b = BuildError.from(e);
      assert.equal(b.code, "not_found");
      assert.equal(b.message, "Cannot open blob");
      assert.ok(b.cause instanceof SuppressedError);
      return true;
    });
  });
  test("maps AbortSignal.timeout() to deadline_exceeded", async () => {
    const s = AbortSignal.timeout(1);
    await new Promise((r) => setTimeout(r, 10));
    assert.equal(BuildError.from(s.reason).code, "deadline_exceeded");
  });
  test("calls a full disk resource_exhausted", () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    assert.equal(BuildError.from(full).code, "resource_exhausted");
    const database = Object.assign(new Error("database or disk is full"), { code: "ERR_SQLITE_ERROR", errcode: 13 });
    assert.equal(BuildError.from(database).code, "resource_exhausted");
  });
  test("calls too many open files resource_exhausted, and says what to do", () => {
    const files = Object.assign(new Error("EMFILE: too many open files, open"), { code: "EMFILE" });
    const thread = Object.assign(new Error("Worker initialization failure: EMFILE"), {
      code: "ERR_WORKER_INIT_FAILED",
    });
    const imports = new Error("Cannot read package config /x/package.json: too many open files.");
    for (const error of [files, thread, imports].map((one) => BuildError.from(one))) {
      assert.equal(error.code, "resource_exhausted");
      assert.match(error.hint ?? "", /ulimit -n/);
    }
  });
  test("is not taken in by names and texts that speak of files", () => {
    const missing = Object.assign(new Error("ENOENT: no such file or directory, open 'EMFILE'"), { code: "ENOENT" });
    for (const error of [missing, new Error("unexpected status: too many open files"), new Error("open EMFILE")])
      assert.equal(BuildError.from(error).code, "unknown");
  });
  test("keeps a custom abort reason", () => {
    const c = new AbortController();
    c.abort(new BuildError("canceled", "Client closed the session"));
    assert.throws(
      () => c.signal.throwIfAborted(),
      (e: unknown) => BuildError.from(e).message === "Client closed the session",
    );
  });
});
