import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, suite, test } from "node:test";
import { AzuriteServer, GithubServer, makeBlob, objectStoreSuite, read } from "../testing/index.ts";
import { parseGithubConfig } from "./github-config.ts";
import { GithubObjectStore } from "./github-object-store.ts";

const { signal } = new AbortController();

suite("GithubObjectStore", () => {
  let azurite: AzuriteServer;
  let places = 0;
  before(async () => {
    azurite = await AzuriteServer.start();
  });
  after(async () => await azurite[Symbol.asyncDispose]());

  for (const version of [1, 2] as const) {
    suite(`with version ${version} of the protocol`, () => {
      let server: GithubServer;
      const slept: number[] = [];
      const reports: unknown[] = [];
      const open = (scope: string, attributes: Readonly<Record<string, string>> = {}): GithubObjectStore => {
        let now = Date.now();
        const config = parseGithubConfig({ ...server.attributes(version, scope), ...attributes });
        const clock = {
          now: () => now,
          sleep: async (ms: number) => {
            slept.push(ms);
            now += ms;
            await Promise.resolve();
          },
        };
        const reporter = { report: (error: unknown) => void reports.push(error) };
        return new GithubObjectStore(config, { clock, reporter, apiUrl: server.url });
      };
      before(async () => {
        server = await GithubServer.start(azurite);
      });
      after(async () => await server[Symbol.asyncDispose]());

      // Entries are never deleted: a place that is empty is a service that nobody has used.
      objectStoreSuite("the service", async () => {
        await server[Symbol.asyncDispose]();
        server = await GithubServer.start(azurite);
        const scope = `scope-${(places += 1)}`;
        return () => open(scope);
      });

      test("waits as long as a busy service says, and no longer than the timeout", async () => {
        const { descriptor } = await makeBlob(randomBytes(10));
        slept.length = 0;
        server.tooMany = 2;
        assert.equal(await open("busy").hasBlob(descriptor, { signal }), false);
        assert.deepEqual(slept, [7000, 7000]);
        server.tooMany = 100;
        await assert.rejects(open("busy", { timeout: "20s" }).hasBlob(descriptor, { signal }), {
          code: "resource_exhausted",
        });
        assert.equal(server.tooMany, 97);
        server.tooMany = 0;
      });

      test("asks for a new URL when the one it has does not work any more", async () => {
        const { descriptor, provider, bytes } = await makeBlob(randomBytes(1000));
        const store = open("expiry");
        await store.writeBlob(descriptor, provider, { signal });
        await read(store, descriptor);
        server.expired = 1;
        const again = version === 1 ? store : open("expiry");
        if (version === 2) await assert.rejects(read(again, descriptor), { code: "permission_denied" });
        assert.deepEqual(await read(again, descriptor, 10), bytes.subarray(10));
        assert.equal(server.expired, 0);
      });

      test("writes an index beside one whose writer is dead", async () => {
        await open("blocked").writeIndex(Buffer.from("first"), { signal });
        const key = /index-blocked-1-[0-9a-f]{8}(?!.*index)/.exec(open("blocked").id)?.[0];
        server.block(`${key}#2`);
        slept.length = 0;
        await open("blocked").writeIndex(Buffer.from("third"), { signal });
        assert.equal(slept.length, 8);
        assert.deepEqual((await open("blocked").readIndexes({ signal })).map(String), ["third"]);
      });

      test("lists once what is there, where it has a token for that", async () => {
        const blobs = await Promise.all([1, 2, 3].map(async () => await makeBlob(randomBytes(10))));
        for (const { descriptor, provider } of blobs.slice(1))
          await open("list").writeBlob(descriptor, provider, { signal });
        const store = open("list", { repository: "owner/name", ghtoken: "gh-token" });
        server.requests.length = 0;
        const found = await Promise.all(
          blobs.map(async ({ descriptor }) => await store.hasBlob(descriptor, { signal })),
        );
        assert.deepEqual(found, [false, true, true]);
        const list = "GET /repos/owner/name/actions/caches";
        assert.deepEqual(new Set(server.requests), new Set([list]));
        assert.deepEqual(reports, []);
      });

      test("refuses what is no valid token before anything is asked", () => {
        server.requests.length = 0;
        for (const [token, message] of [
          ["x", /number of segments/],
          ["a.b.c", /malformed/],
          [server.token({ ac: undefined }), /without access controls/],
          [server.token({ ac: "[1" }), /malformed/],
          [server.token({ exp: 1_000_000_000 }), /cache token expired at 2001-/],
          [server.token({ nbf: 4_000_000_000 }), /future issue time/],
        ] as const) {
          assert.throws(() => open("token", { token }), message);
        }
        assert.deepEqual(server.requests, []);
      });
    });
  }
});
