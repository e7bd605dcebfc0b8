import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, suite, test } from "node:test";
import { makeBlob, objectStoreSuite, S3Server } from "../testing/index.ts";
import { parseS3Config } from "./s3-config.ts";
import { S3ObjectStore } from "./s3-object-store.ts";

const { signal } = new AbortController();

suite("S3ObjectStore", () => {
  let server: S3Server;
  let places = 0;
  const freshPrefix = (): string => `place-${(places += 1)}/`;
  const open = (attributes: Readonly<Record<string, string>>, now: () => number = Date.now): S3ObjectStore => {
    const config = parseS3Config({ ...server.attributes(freshPrefix()), ...attributes }, {});
    return new S3ObjectStore(config, { clock: { now, sleep: async () => await Promise.resolve() } });
  };

  before(async () => {
    server = await S3Server.start();
  });
  after(async () => await server[Symbol.asyncDispose]());

  objectStoreSuite("a bucket", async () => {
    const prefix = freshPrefix();
    return await Promise.resolve(() => open({ prefix }));
  });

  test("hasBlob() makes a blob new that is older than touch_refresh", async () => {
    const prefix = freshPrefix();
    const { descriptor, provider } = await makeBlob(randomBytes(10));
    await open({ prefix }).writeBlob(descriptor, provider, { signal });
    const writes = (): number =>
      server.requests.filter((line) => line.startsWith(`PUT /${server.bucket}/${prefix}`)).length;
    const hours = (count: number) => () => Date.now() + count * 3_600_000;
    for (const [touch_refresh, now, expected] of [
      ["24h", hours(23), 1],
      ["24h", hours(25), 2],
      ["1h30m", hours(1), 2],
      ["1h30m", hours(2), 3],
    ] as const) {
      assert.equal(await open({ prefix, touch_refresh }, now).hasBlob(descriptor, { signal }), true);
      assert.equal(writes(), expected, touch_refresh);
    }
  });

  test("writes under all names, and reads the first", async () => {
    const prefix = freshPrefix();
    await open({ prefix, name: "a;b" }).writeIndex(Buffer.from("both"), { signal });
    await open({ prefix, name: "b" }).writeIndex(Buffer.from("second"), { signal });
    assert.deepEqual((await open({ prefix, name: "a;b" }).readIndexes({ signal })).map(String), ["both"]);
    assert.deepEqual((await open({ prefix, name: "b;a" }).readIndexes({ signal })).map(String), ["second"]);
  });

  test("says permission_denied for a wrong key, which no text holds, and not_found for a bucket that is not there", async () => {
    const { descriptor, provider } = await makeBlob(randomBytes(10));
    const secret = "not the secret that the server has";
    const calls = (store: S3ObjectStore) => [
      async () => await store.writeBlob(descriptor, provider, { signal }),
      async () => await store.readIndexes({ signal }),
    ];
    for (const call of calls(open({ secret_access_key: secret, retry_max_attempts: "1" }))) {
      await assert.rejects(call(), (error: Error & { readonly code?: string }) => {
        assert.doesNotMatch(JSON.stringify([error.message, error.cause ?? "", error.stack]), new RegExp(secret));
        return error.code === "permission_denied" && error.message.includes("SignatureDoesNotMatch");
      });
    }
    for (const call of calls(open({ bucket: "none" }))) await assert.rejects(call(), { code: "not_found" });
  });
});
