import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { mountTemporarily } from "@buildkit-ts/mount";
import { hostPlatform } from "@buildkit-ts/oci";
import { HttpSource } from "@buildkit-ts/sources";
import { Parts, treeOf } from "../integration/support/parts.ts";

/**
 * GHSA-4c29-8rgm-jvjj (CVE-2026-33747): names that servers and frontends give to files were used as paths, and led out
 * of the state directory.
 */
suite("names of downloaded files", () => {
  const folder = mkdtempSync(join(tmpdir(), "ghsa-4c29-"));
  let parts: Parts;
  let server: Server;
  let source: HttpSource;
  let session: string;
  let disposition: string | undefined;

  before(async () => {
    parts = await Parts.open(join(folder, "root"));
    source = new HttpSource({ ...parts.services, userAgent: "test" });
    server = createServer((_request, response) => {
      if (disposition !== undefined)
        response.setHeader("content-disposition", Buffer.from(disposition).toString("latin1"));
      response.end("content");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    session = await parts.connect([]);
  });
  after(async () => {
    await source[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
    await parts[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  let runs = 0;
  const nameOf = async (path: string, attributes: Record<string, string> = {}): Promise<string> => {
    runs += 1;
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}?${runs}`;
    const request = { identifier: url, attributes, platform: hostPlatform(), vertex: "" };
    await using ref = await treeOf(source.resolve(request), parts.context(session));
    const { signal, progress } = parts;
    await using held = await ref.mount({ signal, progress });
    await using mounted = await mountTemporarily(held.mounts, { signal, onlyReads: true });
    const [name = "", ...more] = readdirSync(mounted.path);
    assert.deepEqual(more, []);
    assert.equal(readFileSync(join(mounted.path, name), "utf8"), "content");
    return name;
  };

  const long = "n".repeat(4096);
  const names: readonly (readonly [string, string])[] = [
    ["../../evil", "evil"],
    ["/etc/passwd", "passwd"],
    ["..", "download"],
    [".", "download"],
    ["/", "download"],
    ["a/..", "download"],
    ["new\nline", "download"],
    [long, "download"],
    ["größe.txt", "größe.txt"],
    ["..\\..\\evil", "..\\..\\evil"],
    ["-rf", "-rf"],
  ];
  for (const [given, expected] of names) {
    test(`${JSON.stringify(given.slice(0, 40))} becomes ${JSON.stringify(expected)}, whoever says it`, async () => {
      assert.equal(await nameOf("/x", { "http.filename": given }), expected);
      if (!/[\n]/.test(given) && given !== "größe.txt") {
        disposition = `attachment; filename="${given.replaceAll("\\", "\\\\")}"`;
        assert.equal(await nameOf("/x"), given.endsWith("/") ? "x" : expected);
        disposition = undefined;
      }
      if (given !== "/" && given !== "." && given !== "..") {
        assert.equal(await nameOf(`/x/${encodeURIComponent(given)}`), expected);
      }
    });
  }

  test("a NUL byte ends no name", async () => {
    assert.equal(await nameOf("/x", { "http.filename": "good\0evil" }), "download");
    assert.equal(await nameOf("/good%00evil"), "download");
    assert.equal(existsSync(join(folder, "evil")), false);
  });
});
