import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf, mediaTypes, parseReference } from "@buildkit-ts/oci";
import { anonymousCredentials } from "./credential-source.ts";
import { RegistryClient } from "./registry-client.ts";
import { big, blobDescriptor, callOptions, collect, putImage, QuickClock, setUp } from "./testing/client-under-test.ts";
import { TestRegistry } from "./testing/index.ts";

const options = callOptions;

test("resolve and fetchManifest find a tag and a digest", async (t) => {
  const { registry, client, reference } = await setUp(t);
  const image = putImage(registry);
  assert.deepEqual(await client.resolve(reference, options), image.descriptor);
  assert.deepEqual(await client.fetchManifest(reference, image.descriptor, options), image);
  assert.deepEqual(await client.fetchManifest(reference, undefined, options), image);
  const { tag: _tag, ...bare } = reference;
  assert.deepEqual(await client.resolve({ ...bare, digest: image.descriptor.digest }, options), image.descriptor);
});

test("resolve reads the manifest where a registry has no HEAD or gives no digest", async (t) => {
  const { registry, client, reference } = await setUp(t);
  const image = putImage(registry);
  registry.fail(({ method }) => method === "HEAD", { kind: "status", status: 405 });
  assert.deepEqual(await client.resolve(reference, options), image.descriptor);
  registry.fail(({ method }) => method === "HEAD", {
    kind: "status",
    status: 200,
    headers: { "content-type": mediaTypes.ociManifest },
  });
  assert.deepEqual(await client.resolve(reference, options), image.descriptor);
});

test("what is not there is not_found in containerd's words", async (t) => {
  const { client, reference } = await setUp(t);
  await assert.rejects(client.resolve(reference, options), {
    code: "not_found",
    message: `${reference.domain}/team/app:v1: not found`,
  });
  const descriptor = blobDescriptor(Buffer.from("none"));
  await assert.rejects(client.openBlob(reference, descriptor, options), {
    code: "not_found",
    message: `could not fetch content descriptor ${descriptor.digest} (${descriptor.mediaType}) from remote: not found`,
  });
});

test("statuses become errors that say what the registry said", async (t) => {
  const { registry, client, reference } = await setUp(t);
  putImage(registry);
  const body = JSON.stringify({ errors: [{ code: "DENIED", message: "the quota is used up" }] });
  registry.fail(({ method }) => method === "HEAD", { kind: "status", status: 403 });
  registry.fail(({ method }) => method === "GET", { kind: "status", status: 403, body });
  await assert.rejects(client.resolve(reference, options), {
    code: "permission_denied",
    message: /^unexpected status from HEAD request to http:\/\/127[^\n]*: 403 Forbidden\ndenied: the quota is used up$/,
  });
  registry.fail(() => true, { kind: "status", status: 500 }, 9);
  await assert.rejects(client.resolve(reference, options), {
    code: "unavailable",
    message: /500 Internal Server Error/,
  });
});

test("bytes with another digest, or too many of them, are refused", async (t) => {
  const { registry, client, reference } = await setUp(t);
  const { descriptor } = putImage(registry);
  const always = 100;
  registry.fail(({ method }) => method === "GET", { kind: "garbage", body: "{}" }, always);
  await assert.rejects(client.fetchManifest(reference, descriptor, options), { code: "data_loss" });
  registry.clearFaults();
  registry.fail(({ method }) => method === "GET", { kind: "garbage", body: "x".repeat(5 << 20) });
  await assert.rejects(client.fetchManifest(reference, undefined, options), { code: "resource_exhausted" });
  const blob = blobDescriptor(Buffer.from("ab"));
  registry.fail(({ method }) => method === "GET", { kind: "garbage", body: "abc" }, always);
  await assert.rejects(client.fetchBlob(reference, blob, options), { code: "data_loss" });
});

test("failures that pass are waited out, longer each time, or as long as the registry says", async (t) => {
  const { registry, client, clock, reference } = await setUp(t);
  const { descriptor } = putImage(registry);
  registry.fail(() => true, { kind: "status", status: 503 });
  registry.fail(() => true, { kind: "status", status: 429, headers: { "retry-after": "7" } });
  registry.fail(() => true, { kind: "status", status: 502 });
  assert.deepEqual(await client.resolve(reference, options), descriptor);
  assert.deepEqual(clock.sleeps, [1000, 7000, 4000]);
});

test("the same failure of a server may pass once more, but not for ever", async (t) => {
  const { registry, client, clock, reference } = await setUp(t);
  const { descriptor } = putImage(registry);
  for (let i = 0; i < 2; i += 1) registry.fail(() => true, { kind: "status", status: 503 });
  assert.deepEqual(await client.resolve(reference, options), descriptor);
  assert.deepEqual(clock.sleeps, [1000, 2000]);
  for (let i = 0; i < 3; i += 1) registry.fail(() => true, { kind: "status", status: 503 });
  await assert.rejects(client.resolve(reference, options), { message: /503 Service Unavailable/ });
  assert.deepEqual(clock.sleeps, [1000, 2000, 1000, 2000]);
});

test("a blob is taken up again where its connection broke", async (t) => {
  const { registry, client, reference } = await setUp(t);
  registry.putBlob("team/app", big);
  const isBlob = ({ path }: { path: string }): boolean => path.includes("/blobs/");
  registry.fail(isBlob, { kind: "cut", afterBytes: 1_000_000 });
  registry.fail(isBlob, { kind: "cut", afterBytes: 0 });
  registry.fail(isBlob, { kind: "cut", afterBytes: 500_000 });
  const stream = await client.openBlob(reference, blobDescriptor(big), options);
  assert.ok((await collect(stream)).equals(big));
  const tail = await client.openBlob(reference, blobDescriptor(big), { ...options, offset: big.length - 10 });
  assert.deepEqual(await collect(tail), big.subarray(-10));
});

test("streams that were given up or aborted free their place", async (t) => {
  const { registry, client, reference } = await setUp(t, {}, { maxTransfers: 1 });
  registry.putBlob("team/app", big);
  for await (const _chunk of await client.openBlob(reference, blobDescriptor(big), options)) break;
  const controller = new AbortController();
  const stream = await client.openBlob(reference, blobDescriptor(big), { ...options, signal: controller.signal });
  await stream.next();
  controller.abort(new Error("enough"));
  await assert.rejects(collect(stream), /enough/);
  assert.equal((await client.fetchBlob(reference, blobDescriptor(big), options)).length, big.length);
});

test("pushBlob uploads from a file or a provider, mounts, and finds what is there", async (t) => {
  const { registry, client, reference } = await setUp(t);
  const directory = mkdtempSync(join(tmpdir(), "registry-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "blob");
  writeFileSync(path, big);
  const blob = { descriptor: blobDescriptor(big), source: path };
  assert.equal(await client.pushBlob(reference, blob, options), "uploaded");
  assert.ok(registry.blob("team/app", blob.descriptor.digest)?.equals(big));
  assert.equal(await client.pushBlob(reference, blob, options), "existed");
  const other = parseReference(`${registry.host}/other:v1`);
  assert.equal(await client.pushBlob(other, { ...blob, mountFrom: ["none", "team/app"] }, options), "mounted");
  const third = parseReference(`${registry.host}/third:v1`);
  const source = client.provider(reference, { credentials: anonymousCredentials });
  assert.equal(await client.pushBlob(third, { ...blob, source }, options), "uploaded");
});

test("an upload that breaks is begun anew", async (t) => {
  const { registry, client, reference } = await setUp(t);
  const isPut = ({ method }: { method: string }): boolean => method === "PUT";
  registry.fail(isPut, { kind: "cut", afterBytes: 0 });
  registry.fail(isPut, { kind: "status", status: 500 });
  const source = {
    open: () =>
      Promise.resolve(
        (async function* () {
          yield big;
        })(),
      ),
  };
  assert.equal(await client.pushBlob(reference, { descriptor: blobDescriptor(big), source }, options), "uploaded");
});

test("pushManifest stores under the tag, or the digest, once", async (t) => {
  const { registry, client, reference } = await setUp(t);
  const bytes = Buffer.from('{"schemaVersion":2}');
  const descriptor = { mediaType: mediaTypes.ociManifest, digest: digestOf(bytes), size: bytes.length };
  assert.equal(await client.pushManifest(reference, { descriptor, bytes }, options), "uploaded");
  assert.equal(await client.pushManifest(reference, { descriptor, bytes }, options), "existed");
  assert.equal(registry.manifest("team/app", "v1")?.mediaType, mediaTypes.ociManifest);
  const { tag: _tag, ...bare } = reference;
  const next = Buffer.from('{"schemaVersion":2,"x":1}');
  await client.pushManifest(bare, { descriptor: { ...descriptor, digest: digestOf(next) }, bytes: next }, options);
  assert.ok(registry.manifest("team/app", digestOf(next)));
  await assert.rejects(client.pushManifest(bare, { descriptor, bytes: next }, options), { code: "data_loss" });
});

test("mirrors are asked first, with their path and the registry's name; the registry itself helps out", async (t) => {
  const mirror = await TestRegistry.start();
  t.after(async () => await mirror[Symbol.asyncDispose]());
  const bytes = Buffer.from('{"schemaVersion":2}');
  mirror.putManifest("proxy/hub/library/busybox", { mediaType: mediaTypes.ociManifest, bytes }, "latest");
  const { registry, client } = await setUp(
    t,
    {},
    { config: { "docker.io": { mirrors: [`${mirror.host}/proxy/hub`] } } },
  );
  const found = await client.resolve(parseReference("busybox:latest"), options);
  assert.equal(found.digest, digestOf(bytes));
  assert.equal(mirror.requests[0]?.path, "/v2/proxy/hub/library/busybox/manifests/latest?ns=docker.io");

  const config = { [registry.host]: { mirrors: ["127.0.0.1:1", mirror.host] } };
  const fallback = new RegistryClient({ config, clock: new QuickClock() });
  t.after(async () => await fallback[Symbol.asyncDispose]());
  const image = putImage(registry);
  assert.deepEqual(await fallback.resolve(parseReference(`${registry.host}/team/app:v1`), options), image.descriptor);
});

test("an unreachable registry is unavailable", async (t) => {
  const client = new RegistryClient({ clock: new QuickClock() });
  t.after(async () => await client[Symbol.asyncDispose]());
  await assert.rejects(client.resolve(parseReference("127.0.0.1:1/x:y"), options), {
    code: "unavailable",
    message: /dial tcp 127.0.0.1:1: connect: connection refused/,
  });
});
