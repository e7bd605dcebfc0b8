import assert from "node:assert/strict";
import { test } from "node:test";
import { contentpb } from "@buildkit-ts/api";
import { MemoryContentStore } from "@buildkit-ts/content";
import type { Digest } from "@buildkit-ts/oci";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { contentService } from "./content-service.ts";

const signal: AbortSignal = new AbortController().signal;

async function serve(...blobs: readonly string[]): Promise<{
  client: ReturnType<typeof createClient<typeof contentpb.Content>>;
  digests: readonly Digest[];
}> {
  const content = new MemoryContentStore();
  const digests: Digest[] = [];
  for (const blob of blobs) {
    await using writer = await content.openWriter({ signal });
    await writer.write(Buffer.from(blob));
    digests.push((await writer.commit({})).digest);
  }
  const transport = createRouterTransport((router) => router.service(contentpb.Content, contentService(content)));
  return { client: createClient(contentpb.Content, transport), digests };
}

async function read(
  client: Awaited<ReturnType<typeof serve>>["client"],
  request: { readonly digest: string; readonly offset?: bigint; readonly size?: bigint },
): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const { data } of client.read(request)) chunks.push(data);
  return Buffer.concat(chunks).toString();
}

test("lists and describes the blobs of the store", async () => {
  const { client, digests } = await serve("one", "three");
  const listed: string[] = [];
  for await (const { info } of client.list({})) listed.push(...info.map((blob) => blob.digest));
  assert.deepEqual(listed.sort(), [...digests].sort());
  const [digest = ""] = digests;
  assert.equal((await client.info({ digest })).info?.size, 3n);
});

test("reads the range that is asked for", async () => {
  const { client, digests } = await serve("0123456789");
  const [digest = ""] = digests;
  assert.equal(await read(client, { digest }), "0123456789");
  assert.equal(await read(client, { digest, offset: 2n, size: 3n }), "234");
  assert.equal(await read(client, { digest, offset: 8n, size: 100n }), "89");
  assert.equal(await read(client, { digest, offset: 10n }), "");
  await assert.rejects(read(client, { digest, offset: 11n }), hasCode(Code.OutOfRange));
});

test("tells unknown blobs and invalid digests", async () => {
  const { client } = await serve();
  await assert.rejects(client.info({ digest: `sha256:${"0".repeat(64)}` }), hasCode(Code.NotFound));
  await assert.rejects(client.info({ digest: "../../etc/passwd" }), hasCode(Code.InvalidArgument));
  await assert.rejects(client.delete({ digest: `sha256:${"0".repeat(64)}` }), hasCode(Code.Unimplemented));
});

function hasCode(code: Code): (error: unknown) => boolean {
  return (error) => error instanceof ConnectError && error.code === code;
}
