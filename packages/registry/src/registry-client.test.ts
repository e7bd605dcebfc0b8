import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Clock } from "@buildkit-ts/async";
import { type Descriptor, type Digest, digestOf, mediaTypes, parseReference, type Reference } from "@buildkit-ts/oci";
import fc from "fast-check";
import { parseChallenges } from "./challenge.ts";
import { anonymousCredentials, type CredentialSource } from "./credential-source.ts";
import { RegistryClient, type RegistryClientOptions } from "./registry-client.ts";
import { endpointsOf } from "./registry-config.ts";
import { mergeScopes } from "./scopes.ts";
import { TestRegistry, type TestRegistryOptions } from "./testing/index.ts";

const { signal } = new AbortController();
const options = { signal, credentials: anonymousCredentials };

/** Passes at once, and remembers how long it was asked to wait. */
class QuickClock implements Clock {
  readonly sleeps: number[] = [];
  time = 1_000_000;

  now(): number {
    return this.time;
  }

  async sleep(ms: number): Promise<void> {
    this.sleeps.push(ms);
    this.time += ms;
    await Promise.resolve();
  }
}

interface Setup {
  readonly registry: TestRegistry;
  readonly client: RegistryClient;
  readonly clock: QuickClock;
  readonly reference: Reference;
}

async function setUp(
  t: TestContext,
  settings: TestRegistryOptions = {},
  clientOptions: RegistryClientOptions = {},
): Promise<Setup> {
  const registry = await TestRegistry.start(settings);
  const clock = new QuickClock();
  const client = new RegistryClient({ clock, ...clientOptions });
  t.after(async () => {
    await client[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });
  return { registry, client, clock, reference: parseReference(`${registry.host}/team/app:v1`) };
}

function putImage(registry: TestRegistry): { descriptor: Descriptor; bytes: Buffer } {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, layers: [] }));
  const digest = registry.putManifest("team/app", { mediaType: mediaTypes.ociManifest, bytes }, "v1") as Digest;
  return { descriptor: { mediaType: mediaTypes.ociManifest, digest, size: bytes.length }, bytes };
}

function blobDescriptor(bytes: Uint8Array): Descriptor {
  return { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(bytes), size: bytes.length };
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function user(username: string, secret: string): CredentialSource & { asked: string[] } {
  const asked: string[] = [];
  return {
    id: `${username}:${secret}`,
    asked,
    credentials: (host) => {
      asked.push(host);
      return Promise.resolve({ username, secret });
    },
  };
}

const big = Buffer.alloc(3_000_000, "0123456789abcdef!");

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

test("tokens are fetched with a password, kept, renewed when they expire or are revoked", async (t) => {
  const { registry, client, clock, reference } = await setUp(t, { users: { ada: "pw" }, tokenExpirySeconds: 100 });
  const { descriptor } = putImage(registry);
  const ada = user("ada", "pw");
  const tokens = (): number => registry.requests.filter(({ path }) => path.startsWith("/token")).length;
  for (let i = 0; i < 3; i += 1)
    assert.deepEqual(await client.resolve(reference, { signal, credentials: ada }), descriptor);
  assert.equal(tokens(), 1);
  clock.time += 95_000;
  await client.resolve(reference, { signal, credentials: ada });
  assert.equal(tokens(), 2);
  registry.revokeTokens();
  await client.resolve(reference, { signal, credentials: ada });
  assert.equal(tokens(), 3);
  const blob = {
    descriptor: blobDescriptor(big),
    source: {
      open: () =>
        Promise.resolve(
          (async function* () {
            yield big;
          })(),
        ),
    },
  };
  assert.equal(await client.pushBlob(reference, blob, { signal, credentials: ada }), "uploaded");
});

test("tokens of one source are not used by another", async (t) => {
  const { registry, client, reference } = await setUp(t, { users: { ada: "pw" } });
  putImage(registry);
  await client.resolve(reference, { signal, credentials: user("ada", "pw") });
  await assert.rejects(client.resolve(reference, options), {
    code: "permission_denied",
    message:
      "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
  });
  await assert.rejects(client.resolve(reference, { signal, credentials: user("ada", "wrong") }), {
    code: "unauthenticated",
    message:
      /^failed to authorize: failed to fetch oauth token: unexpected status from POST request to .*: 401 Unauthorized/,
  });
});

test("anonymous tokens, identity tokens, basic authorisation and sources that fetch tokens themselves work", async (t) => {
  const open = await setUp(t, { users: {}, publicPull: true });
  putImage(open.registry);
  assert.ok(await open.client.resolve(open.reference, options));

  const identity = await setUp(t, { users: {}, identityTokens: ["refresh"] });
  putImage(identity.registry);
  assert.ok(await identity.client.resolve(identity.reference, { signal, credentials: user("", "refresh") }));

  const basic = await setUp(t, { users: { ada: "p:w" }, scheme: "basic" });
  putImage(basic.registry);
  assert.ok(await basic.client.resolve(basic.reference, { signal, credentials: user("ada", "p:w") }));
  await assert.rejects(basic.client.resolve(basic.reference, options), { code: "unauthenticated" });

  const own = await setUp(t, { users: { ada: "pw" } });
  putImage(own.registry);
  const requests: unknown[] = [];
  const source: CredentialSource = {
    id: "session",
    credentials: () => Promise.reject(new Error("must not be asked")),
    fetchToken: async (request) => {
      requests.push(request);
      const url = `${request.realm}?scope=${request.scopes.join("&scope=")}`;
      const answer = await fetch(url, { headers: { authorization: `Basic ${btoa("ada:pw")}` } });
      return { token: ((await answer.json()) as { token: string }).token };
    },
  };
  assert.ok(await own.client.resolve(own.reference, { signal, credentials: source }));
  const realm = `http://${own.registry.host}/token`;
  assert.deepEqual(requests, [
    { host: own.registry.host, realm, service: "test", scopes: ["repository:team/app:pull"] },
  ]);
});

test("redirects to other hosts get no credentials", async (t) => {
  const { registry, client, reference } = await setUp(t, { users: { ada: "pw" } });
  const storage = await TestRegistry.start();
  t.after(async () => await storage[Symbol.asyncDispose]());
  registry.putBlob("team/app", big);
  storage.putBlob("team/app", big);
  const descriptor = blobDescriptor(big);
  const credentials = user("ada", "pw");
  const location = `http://${storage.host}/v2/team/app/blobs/${descriptor.digest}?signature=secret`;
  registry.fail(({ headers }) => headers.authorization?.startsWith("Bearer") === true, {
    kind: "status",
    status: 307,
    headers: { location },
  });
  assert.ok((await client.fetchBlob(reference, descriptor, { signal, credentials })).equals(big));
  assert.equal(storage.requests.length, 1);
  assert.equal(storage.requests[0]?.headers.authorization, undefined);
});

test("a realm without encryption gets no secret from a registry with encryption", async () => {
  const { fetchToken } = await import("./token-fetcher.ts");
  const sender = { send: () => Promise.reject(new Error("must not be sent")) };
  const request = {
    realm: "http://example.com/token",
    service: "",
    scopes: [],
    credentials: { username: "a", secret: "b" },
    plainHost: false,
  };
  await assert.rejects(fetchToken(sender as never, request, { signal }), { code: "permission_denied" });
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

test("endpointsOf speaks plain HTTP only where that is said, or may be for this machine", () => {
  const scheme = (host: string, config = {}, insecure = false): string | undefined =>
    endpointsOf(host, { [host]: config }, { insecure }).at(-1)?.scheme;
  assert.equal(scheme("example.com"), "https");
  assert.equal(scheme("example.com", { insecure: true }), "https");
  assert.equal(scheme("example.com", { http: true }), "http");
  assert.equal(scheme("example.com", {}, true), "https-or-http");
  assert.equal(scheme("localhost:5000"), "https-or-http");
  assert.equal(scheme("127.0.0.1:5000", { http: false }), "https");
  assert.equal(scheme("127.evil.example"), "https");
  assert.equal(endpointsOf("docker.io", {})[0]?.host, "registry-1.docker.io");
  assert.equal(endpointsOf("docker.io", {})[0]?.namespace, undefined);
});

test("parseChallenges reads several challenges and survives any text", () => {
  const [bearer, basic] = parseChallenges(
    'Bearer realm="https://a/t?x=1,2",service=s , scope="repository:a:pull,push", Basic realm="q\\"x"',
  );
  assert.deepEqual(
    [bearer?.scheme, bearer?.parameters.get("realm"), bearer?.parameters.get("scope")],
    ["bearer", "https://a/t?x=1,2", "repository:a:pull,push"],
  );
  assert.deepEqual([basic?.scheme, basic?.parameters.get("realm")], ["basic", 'q"x']);
  fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseChallenges(text))));
});

test("mergeScopes joins actions of one repository", () => {
  assert.deepEqual(
    mergeScopes(["repository:b:push,pull repository:a:pull", "repository:b:pull", "registry:catalog:*"]),
    ["registry:catalog:*", "repository:a:pull", "repository:b:pull,push"],
  );
});

test("an unreachable registry is unavailable", async (t) => {
  const client = new RegistryClient({ clock: new QuickClock() });
  t.after(async () => await client[Symbol.asyncDispose]());
  await assert.rejects(client.resolve(parseReference("127.0.0.1:1/x:y"), options), {
    code: "unavailable",
    message: /ECONNREFUSED/,
  });
});

const program = ["/usr/bin/docker-registry", "/usr/local/bin/registry"].find((path) => {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
});

test("a registry of the distribution project takes and gives images", {
  skip: program === undefined && "no docker-registry",
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "registry-"));
  const port = await freePort();
  const config = `version: 0.1\nstorage: {filesystem: {rootdirectory: ${directory}/data}}\nhttp: {addr: "127.0.0.1:${port}"}\n`;
  writeFileSync(join(directory, "config.yaml"), config);
  const child = spawn(program ?? "", ["serve", join(directory, "config.yaml")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  const client = new RegistryClient();
  t.after(async () => {
    await client[Symbol.asyncDispose]();
    child.kill();
    await exited;
    rmSync(directory, { recursive: true });
  });
  await new Promise<void>((resolve) => {
    child.stderr.on("data", (line: Buffer) => line.includes("listening on") && resolve());
  });
  const reference = parseReference(`127.0.0.1:${port}/team/app:v1`);
  const layer = {
    descriptor: blobDescriptor(big),
    source: {
      open: () =>
        Promise.resolve(
          (async function* () {
            yield big;
          })(),
        ),
    },
  };
  assert.equal(await client.pushBlob(reference, layer, options), "uploaded");
  const other = parseReference(`127.0.0.1:${port}/other:v1`);
  assert.equal(await client.pushBlob(other, { ...layer, mountFrom: ["team/app"] }, options), "mounted");
  const configBytes = Buffer.from("{}");
  const descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: 2 };
  const source = {
    open: () =>
      Promise.resolve(
        (async function* () {
          yield configBytes;
        })(),
      ),
  };
  await client.pushBlob(reference, { descriptor, source }, options);
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptor,
      layers: [layer.descriptor],
    }),
  );
  const manifest = { mediaType: mediaTypes.ociManifest, digest: digestOf(bytes), size: bytes.length };
  assert.equal(await client.pushManifest(reference, { descriptor: manifest, bytes }, options), "uploaded");
  assert.deepEqual(await client.resolve(reference, options), manifest);
  assert.ok((await client.fetchBlob(reference, layer.descriptor, options)).equals(big));
  assert.deepEqual(
    await collect(await client.openBlob(reference, layer.descriptor, { ...options, offset: 2_999_000 })),
    big.subarray(2_999_000),
  );
  await assert.rejects(client.resolve({ ...reference, tag: "none" }, options), { code: "not_found" });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
