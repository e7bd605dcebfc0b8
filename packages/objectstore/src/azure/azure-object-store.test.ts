import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, suite, test } from "node:test";
import { AzuriteServer, makeBlob, objectStoreSuite } from "../testing/index.ts";
import { parseAzureConfig } from "./azure-config.ts";
import { AzureObjectStore } from "./azure-object-store.ts";

const { signal } = new AbortController();

suite("AzureObjectStore", () => {
  let azurite: AzuriteServer;
  let places = 0;
  const place = (attributes: Readonly<Record<string, string>> = {}): (() => AzureObjectStore) => {
    const config = parseAzureConfig({ ...azurite.attributes(`container-${(places += 1)}`), ...attributes }, {});
    return () => new AzureObjectStore(config);
  };

  before(async () => {
    azurite = await AzuriteServer.start();
  });
  after(async () => await azurite[Symbol.asyncDispose]());

  objectStoreSuite("a container", async () => await Promise.resolve(place()));

  test("reads the indexes of all names, and writes under each", async () => {
    const container = `container-${(places += 1)}`;
    const open = (name: string): AzureObjectStore =>
      new AzureObjectStore(parseAzureConfig({ ...azurite.attributes(container), prefix: "some/where", name }, {}));
    await open("a;b").writeIndex(Buffer.from("both"), { signal });
    await open("b").writeIndex(Buffer.from("second"), { signal });
    assert.deepEqual((await open("a;b;none").readIndexes({ signal })).map(String), ["both", "second"]);
  });

  test("says permission_denied for a wrong key, which no text holds", async () => {
    const secret = Buffer.from("a wrong key").toString("base64");
    const open = place({ secret_access_key: secret });
    const { descriptor, provider } = await makeBlob(randomBytes(10));
    for (const call of [
      async () => await open().hasBlob(descriptor, { signal }),
      async () => await open().writeBlob(descriptor, provider, { signal }),
      async () => await open().readIndexes({ signal }),
    ]) {
      const error = await call().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof Error);
      assert.equal((error as { readonly code?: string }).code, "permission_denied");
      assert.doesNotMatch(JSON.stringify([error.message, error.cause ?? "", error.stack]), new RegExp(secret));
    }
  });
});
