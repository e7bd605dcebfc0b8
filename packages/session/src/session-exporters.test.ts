import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Exporter } from "@buildkit-ts/api/buildkit/exporter";
import { BuildError } from "@buildkit-ts/errdefs";
import { finalizeSessionExport, findSessionExporters } from "./session-exporters.ts";
import { openTestSession } from "./testing/index.ts";

const result = { metadata: { key: Buffer.from("value") }, refs: ["tree"] };

suite("exports that a client asks for late", () => {
  test("are what it answers to what was built", async ({ signal }) => {
    const seen: unknown[] = [];
    await using session = await openTestSession([
      (server) => {
        server.handleUnary(Exporter.method.findExporters, async ({ refs, metadata }) => {
          seen.push(refs, Buffer.from(metadata["key"] ?? []).toString());
          return await Promise.resolve({ exporters: [{ Type: "oci", Attrs: { compression: "zstd" } }] });
        });
        server.handleUnary(Exporter.method.finalizeExport, async ({ exporterResponse }) => {
          seen.push(exporterResponse);
          return await Promise.resolve({});
        });
      },
    ]);
    const wanted = await findSessionExporters(session.caller, result, { signal });
    assert.deepEqual(wanted, [{ type: "oci", attributes: { compression: "zstd" } }]);
    await finalizeSessionExport(session.caller, { "image.name": "x" }, { signal });
    assert.deepEqual(seen, [["tree"], "value", { "image.name": "x" }]);
  });

  test("are none where the client has no such service, or says that nobody is behind it", async ({ signal }) => {
    await using silent = await openTestSession([]);
    assert.deepEqual(await findSessionExporters(silent.caller, result, { signal }), []);
    await finalizeSessionExport(silent.caller, {}, { signal });
    const unavailable = async () => await Promise.reject(new BuildError("unavailable", "nobody"));
    await using empty = await openTestSession([
      (server) => server.handleUnary(Exporter.method.findExporters, unavailable),
    ]);
    assert.deepEqual(await findSessionExporters(empty.caller, result, { signal }), []);
  });

  test("fail the build where the client does", async ({ signal }) => {
    const fail = async () => await Promise.reject(new BuildError("unknown", "the callback failed"));
    await using session = await openTestSession([(server) => server.handleUnary(Exporter.method.finalizeExport, fail)]);
    await assert.rejects(finalizeSessionExport(session.caller, {}, { signal }), { message: "the callback failed" });
  });
});
