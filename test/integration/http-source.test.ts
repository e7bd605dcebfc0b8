import assert from "node:assert/strict";
import { once } from "node:events";
import { lstatSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { mountTemporarily } from "@buildkit-ts/mount";
import { digestOf, hostPlatform } from "@buildkit-ts/oci";
import { provideSecrets } from "@buildkit-ts/session/serving";
import { HttpSource } from "@buildkit-ts/sources";
import { Parts, treeOf } from "./support/parts.ts";

const folder = mkdtempSync(join(tmpdir(), "parts-"));
const platform = hostPlatform();
let parts: Parts;

before(async () => {
  parts = await Parts.open(join(folder, "root"));
});
after(async () => {
  await parts[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function inTree<T>(ref: ImmutableRef, use: (path: string) => T): Promise<T> {
  const { signal, progress } = parts;
  await using held = await ref.mount({ signal, progress });
  await using mounted = await mountTemporarily(held.mounts, { signal, onlyReads: true });
  return use(mounted.path);
}

test("a file from a web server is fetched once, with the secret that its host asks for", async () => {
  const requests: IncomingMessage[] = [];
  let content = "hello";
  const server = createServer((request, response) => {
    requests.push(request);
    const etag = `"${digestOf(content)}"`;
    response.setHeader("etag", etag);
    response.setHeader("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
    if (request.headers["if-none-match"] === etag) response.writeHead(304).end();
    else if (request.url === "/missing") response.writeHead(404).end();
    else response.end(request.method === "HEAD" ? undefined : content);
  });
  writeFileSync(join(folder, "token"), "s3cret");
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using source = new HttpSource({ ...parts.services, userAgent: "test" });
  const session = await parts.connect([
    provideSecrets([{ id: "HTTP_AUTH_TOKEN_127.0.0.1", filePath: join(folder, "token") }]),
  ]);
  const context = parts.context(session);
  const open = (path: string, attributes: Record<string, string> = {}) =>
    source.resolve({ identifier: `${base}${path}`, attributes, platform, vertex: "" });
  try {
    const instance = open("/dir/a.txt", { "http.perm": "0755", "http.uid": "7" });
    const first = await instance.cacheKey(0, context);
    assert.equal(first.pin, digestOf("hello"));
    await using ref = await treeOf(instance, context);
    const stat = await inTree(ref, (path) => lstatSync(join(path, "a.txt")));
    assert.deepEqual([stat.mode & 0o777, stat.uid, stat.mtime.toISOString()], [0o755, 7, "2015-10-21T07:28:00.000Z"]);
    assert.ok(requests.every(({ headers }) => headers.authorization === "Bearer s3cret"));
    const again = open("/dir/a.txt", { "http.perm": "0755", "http.uid": "7" });
    assert.deepEqual(await again.cacheKey(0, context), first);
    assert.deepEqual(
      requests.map(({ method }) => method),
      ["GET", "HEAD"],
    );
    content = "changed";
    assert.equal(
      (await open("/dir/a.txt", { "http.perm": "0755", "http.uid": "7" }).cacheKey(0, context)).pin,
      digestOf("changed"),
    );
    await assert.rejects(open("/missing").cacheKey(0, context), { message: "invalid response status 404" });
    await assert.rejects(open("/x", { "http.checksum": digestOf("other") }).snapshot(context), { code: "data_loss" });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
