import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { type Digest, digestOf, parseReference } from "@buildkit-ts/oci";
import { anonymousCredentials } from "./credential-source.ts";
import { RegistryClient } from "./registry-client.ts";

const digest = digestOf(Buffer.from("image")) as Digest;
const index = (name: string): string => JSON.stringify({ manifests: [{ annotations: { name } }] });

/** What the client finds of a server that answers so, and what it was asked. */
async function fetchFrom(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly pages: Promise<string[]>; readonly asked: readonly string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new RegistryClient();
  t.after(async () => {
    await client[Symbol.asyncDispose]();
    server.close();
  });
  const reference = parseReference(`127.0.0.1:${(server.address() as AddressInfo).port}/team/app:v1`);
  const options = { signal: new AbortController().signal, credentials: anonymousCredentials };
  const pages = client.fetchReferrers(reference, digest, options).then((found) => found.map(String));
  return { pages, asked };
}

test("fetchReferrers() follows pages on the same server, and none elsewhere", async (t) => {
  const path = `/v2/team/app/referrers/${digest}`;
  const { pages, asked } = await fetchFrom(t, ({ url }, response) => {
    if (url === path) response.setHeader("link", `<${path}?next=2>; rel="next"`);
    else response.setHeader("link", '<http://169.254.169.254/latest>; rel="next"');
    response.end(index(url ?? ""));
  });
  assert.deepEqual(await pages, [index(path), index(`${path}?next=2`)]);
  assert.deepEqual(asked, [path, `${path}?next=2`]);
});

test("fetchReferrers() finds the list under a tag where a registry has no such API, or nothing", async (t) => {
  const tag = `/v2/team/app/manifests/${digest.replace(":", "-")}`;
  const tagged = await fetchFrom(t, ({ url }, response) => {
    if (url === tag) response.end(index("tagged"));
    else response.writeHead(404).end();
  });
  assert.deepEqual(await tagged.pages, [index("tagged")]);
  const none = await fetchFrom(t, (_request, response) => response.writeHead(404).end());
  assert.deepEqual(await none.pages, []);
});

test("fetchReferrers() ends lists without end, and says what a registry refuses", async (t) => {
  let page = 0;
  const endless = await fetchFrom(t, (_request, response) => {
    page += 1;
    response.setHeader("link", `</v2/team/app/referrers/${digest}?next=${page}>; rel="next"`);
    response.end(index(`${page}`));
  });
  await assert.rejects(endless.pages, { code: "resource_exhausted", message: /more than \d+ pages/ });
  const forbidden = await fetchFrom(t, (_request, response) => response.writeHead(403).end());
  await assert.rejects(forbidden.pages, /403 Forbidden/);
});
