import assert from "node:assert/strict";
import { test } from "node:test";
import { type CredentialSource } from "./credential-source.ts";
import { big, blobDescriptor, callOptions, putImage, setUp, streamedBlob, user } from "./testing/client-under-test.ts";
import { TestRegistry } from "./testing/index.ts";

const options = callOptions;
const { signal } = callOptions;

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
  const blob = streamedBlob(big);
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
