import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, systemClock } from "@buildkit-ts/async";
import { type Digest, digestOf, mediaTypes, parseReference } from "@buildkit-ts/oci";
import { anonymousCredentials } from "./credential-source.ts";
import { RegistryClient } from "./registry-client.ts";
import { repeatDamaged, retryAfterMs } from "./retry-policy.ts";
import { TestRegistry } from "./testing/index.ts";

const impatient: Clock = { now: () => systemClock.now(), sleep: () => Promise.resolve() };

test("what came damaged or cut short is asked for again", async ({ signal }) => {
  await using registry = await TestRegistry.start();
  await using client = new RegistryClient({ clock: impatient });
  const options = { signal, credentials: anonymousCredentials };
  const reference = parseReference(`${registry.host}/team/app:v1`);
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [] }));
  const mediaType = mediaTypes.ociManifest;
  const digest = registry.putManifest("team/app", { mediaType, bytes: manifest }, "v1") as Digest;
  const bytes = Buffer.from("{}");
  registry.putBlob("team/app", bytes);
  const blob = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(bytes), size: bytes.length };
  const faults = [{ kind: "garbage", body: "[]" } as const, { kind: "cut", afterBytes: 1 } as const];
  const isRead = ({ method }: { readonly method: string }): boolean => method === "GET";
  for (const fault of faults) {
    const descriptor = { mediaType, digest, size: manifest.length };
    registry.fail(isRead, fault);
    assert.equal((await client.fetchManifest(reference, descriptor, options)).descriptor.digest, digest);
    // For a tag there is nothing to compare with, if the registry does not say it.
    if (fault.kind === "cut") registry.fail(isRead, fault);
    assert.equal((await client.fetchManifest(reference, undefined, options)).descriptor.digest, digest);
    registry.fail(isRead, fault);
    assert.deepEqual(await client.fetchBlob(reference, blob, options), bytes);
  }
});

test("an upload is continued where it broke, as often as it breaks", async ({ signal }) => {
  await using registry = await TestRegistry.start();
  await using client = new RegistryClient({ clock: impatient });
  const reference = parseReference(`${registry.host}/team/app:v1`);
  const bytes = Buffer.alloc(1_000_000, "0123456789abcdef!");
  const descriptor = { mediaType: mediaTypes.ociLayer, digest: digestOf(bytes), size: bytes.length };
  const opened: number[] = [];
  const source = {
    open: async (_descriptor: unknown, { offset = 0 }: { readonly offset?: number }) => {
      opened.push(offset);
      return await Promise.resolve([bytes.subarray(offset)] as unknown as AsyncIterable<Uint8Array>);
    },
  };
  registry.fail(({ method }) => method === "PUT" || method === "PATCH", { kind: "half received" }, 2);
  const options = { signal, credentials: anonymousCredentials };
  assert.equal(await client.pushBlob(reference, { descriptor, source }, options), "uploaded");
  assert.deepEqual(registry.blob("team/app", descriptor.digest), bytes);
  assert.deepEqual(opened, [0, 500_000, 750_000]);
});

test("repeatDamaged() does not repeat what was refused", async ({ signal }) => {
  let calls = 0;
  const refused = Object.assign(new Error("no"), { code: "ENOENT" });
  const work = async (): Promise<never> => {
    calls += 1;
    throw await Promise.resolve(refused);
  };
  await assert.rejects(repeatDamaged(work, { clock: impatient, signal }), refused);
  assert.equal(calls, 1);
});

test("retryAfterMs() reads seconds and dates, and waits no longer than half a minute", () => {
  const after = (text: string | undefined): number | undefined =>
    retryAfterMs({ header: () => text }, Date.parse("2026-01-01T00:00:00Z"));
  assert.equal(after("7"), 7000);
  assert.equal(after("100000"), 30_000);
  assert.equal(after("Thu, 01 Jan 2026 00:00:05 GMT"), 5000);
  assert.equal(after("Wed, 31 Dec 2025 00:00:00 GMT"), 0);
  assert.equal(after("soon"), undefined);
  assert.equal(after(undefined), undefined);
});
