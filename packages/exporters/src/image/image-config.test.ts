import assert from "node:assert/strict";
import { test } from "node:test";
import type { RemoteLayer } from "@buildkit-ts/cache";
import { type DiffId, digestOf } from "@buildkit-ts/oci";
import { patchImageConfig } from "./image-config.ts";
import { alignHistory } from "./image-history.ts";

function layer(name: string, createdAt: number): RemoteLayer {
  const digest = digestOf(name) as DiffId;
  const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: 1 };
  return { descriptor, diffId: digest, createdAt, description: `RUN ${name}` };
}

const none = { epochSeconds: undefined, baseConfig: undefined, inlineCache: undefined };

test("patchImageConfig() keeps what it does not know, byte for byte, and sorts the members", () => {
  const config = '{"os":"linux", "x": {"b":1.50, "2": 12345678901234567890, "a":"<&>"}, "architecture":"amd64"}';
  const text = patchImageConfig(Buffer.from(config), { ...none, layers: [] }).toString();
  assert.equal(
    text,
    '{"architecture":"amd64","created":null,"history":[],"os":"linux","rootfs":{"type":"layers","diff_ids":[]},' +
      '"x":{"b":1.50,"2":12345678901234567890,"a":"\\u003c\\u0026\\u003e"}}',
  );
});

test("patchImageConfig() refuses what is no config", () => {
  for (const config of ["null", "[]", "{", '{"os":"linux"}', '{"architecture":"amd64","os":""}'])
    assert.throws(() => patchImageConfig(Buffer.from(config), { ...none, layers: [] }), { code: "invalid_argument" });
});

test("patchImageConfig() clamps times to the epoch, but not those of the base image", () => {
  const base = { created: "2001-01-01T00:00:00Z", created_by: "base" };
  const mine = { created: "2020-01-01T00:00:00.5Z", created_by: "mine" };
  const config = { architecture: "amd64", os: "linux", created: "2020-01-01T00:00:01Z", history: [base, mine] };
  const patched = patchImageConfig(Buffer.from(JSON.stringify(config)), {
    layers: [layer("a", 0), layer("b", 0)],
    epochSeconds: 0,
    baseConfig: Buffer.from(JSON.stringify({ ...config, history: [base] })),
    inlineCache: Buffer.from("{}"),
  });
  const { created, history, "moby.buildkit.cache.v0": cache } = JSON.parse(patched.toString());
  assert.equal(created, "1970-01-01T00:00:00Z");
  assert.deepEqual(history, [base, { ...mine, created: "1970-01-01T00:00:00Z" }]);
  assert.equal(cache, "e30=");
});

test("alignHistory() adds what is missing, marks what is too much, and gives every entry a time", () => {
  const layers = [layer("a", 1000), layer("b", 2500)];
  assert.deepEqual(alignHistory([{ created_by: "ENV", empty_layer: true }], layers), [
    { created: "1970-01-01T00:00:01Z", created_by: "ENV", empty_layer: true },
    { created: "1970-01-01T00:00:01Z", created_by: "RUN a", comment: "buildkit.exporter.image.v0" },
    { created: "1970-01-01T00:00:02.5Z", created_by: "RUN b", comment: "buildkit.exporter.image.v0" },
  ]);
  assert.deepEqual(alignHistory([{ created_by: "1" }, { created_by: "2" }], layers.slice(0, 1)), [
    { created: "1970-01-01T00:00:01Z", created_by: "1" },
    { created: "1970-01-01T00:00:01Z", created_by: "2", empty_layer: true },
  ]);
});
