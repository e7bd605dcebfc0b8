import assert from "node:assert/strict";
import { test } from "node:test";
import { formatGoJson } from "@buildkit-ts/gotext";
import { digestOf, mediaTypes } from "@buildkit-ts/oci";
import fc from "fast-check";
import { withoutUrls } from "../image/layer-media-type.ts";
import { parseAnnotation, selectAnnotations } from "./annotations.ts";
import { withAttributeMetadata } from "./attribute-metadata.ts";
import { parseImageOptions, withCompatibleTypes } from "./image-options.ts";
import { joinMembers, splitMembers } from "./json-members.ts";
import { resultPlatforms } from "./result-platforms.ts";

test("splitMembers() and joinMembers() keep every JSON object", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom("", "  ", "\t"), (object, indent) => {
      const text = formatGoJson(object, indent);
      assert.deepEqual(JSON.parse(joinMembers(splitMembers(text))), JSON.parse(text));
    }),
  );
});

const image = { attestationInline: true };

test("parseImageOptions() reads what clients send and passes on what it does not know", () => {
  const options = parseImageOptions(
    {
      name: "a,b",
      compression: "zstd",
      "compression-level": "99",
      "force-compression": "",
      "annotation-index.k": "v",
      push: "true",
      "buildinfo-attrs": "x",
    },
    image,
  );
  assert.deepEqual(options.compression, { type: "zstd", level: 22, force: true, ociMediaTypes: true });
  assert.deepEqual(options.annotations, [{ type: "index", platform: "", key: "k", value: "v" }]);
  assert.equal(options.rest.get("push"), "true");
  assert.equal(options.rest.get("buildinfo-attrs"), "x");
});

test("parseImageOptions() refuses values that it cannot use", () => {
  for (const [attributes, expected] of [
    [{ compression: "lz4" }, { code: "invalid_argument", message: "unsupported compression type lz4" }],
    [{ compression: "estargz", "oci-mediatypes": "false" }, { message: /conflicts with "oci-mediatypes=false"/ }],
    [{ "oci-mediatypes": "maybe" }, { message: /non-bool value specified for oci-mediatypes/ }],
    [{ "compression-level": "x" }, { message: /non-integer value x specified for compression-level/ }],
    [{ "source-date-epoch": "now" }, { message: /invalid source-date-epoch/ }],
    [{ "annotation-foo.k": "v" }, { message: "unrecognized annotation type foo" }],
  ] as const)
    assert.throws(() => parseImageOptions(attributes as Record<string, string>, image), expected);
});

test("withCompatibleTypes() has the older defaults, and leaves what the client chose", () => {
  const older = { compatibilityVersion: 20, isAttested: false, exporter: "image" };
  const types = (attributes: Record<string, string>, result: typeof older): boolean[] => {
    const { ociMediaTypes, ociArtifact, compression } = withCompatibleTypes(
      parseImageOptions(attributes, image),
      result,
    );
    return [ociMediaTypes, ociArtifact, compression.ociMediaTypes];
  };
  assert.deepEqual(types({}, older), [false, false, false]);
  assert.deepEqual(types({}, { ...older, isAttested: true }), [true, false, true]);
  assert.deepEqual(types({}, { ...older, compatibilityVersion: 30 }), [true, true, true]);
  assert.deepEqual(types({ "oci-mediatypes": "true", "oci-artifact": "true" }, older), [true, true, true]);
});

test("withCompatibleTypes() refuses what the wanted version did not have", () => {
  const result = { compatibilityVersion: 10, isAttested: false, exporter: "oci" };
  const zstd = parseImageOptions({ compression: "zstd" }, image);
  assert.throws(() => withCompatibleTypes(zstd, result), {
    name: "UnsupportedCompatibilityFeatureError",
    message: "unsupported compatibility-version 10 feature oci exporter compression=zstd",
  });
  assert.equal(withCompatibleTypes(zstd, { ...result, compatibilityVersion: 20 }).compression.type, "zstd");
});

test("attributes that no output knows are the result's metadata, over the frontend's", () => {
  const metadata = new Map([
    ["containerimage.config", Buffer.from("frontend")],
    ["image.name", Buffer.from("n")],
  ]);
  const input = { ref: undefined, refs: new Map(), metadata, attestations: new Map() };
  const attributes = { "containerimage.config": "client", push: "true", "annotation.k": "v", compression: "gzip" };
  const { rest } = parseImageOptions(attributes, image);
  const result = withAttributeMetadata(input, rest, new Set(["push"]));
  const texts = [...result.metadata].map(([key, value]) => [key, Buffer.from(value).toString()]);
  assert.deepEqual(texts, [
    ["containerimage.config", "client"],
    ["image.name", "n"],
  ]);
  assert.equal(withAttributeMetadata(input, new Map([["push", "true"]]), new Set(["push"])), input);
});

test("withoutUrls() makes a layer that is elsewhere one like any other", () => {
  const urls = ["https://host/layer"];
  const digest = digestOf("layer");
  for (const [foreign, plain] of [
    [mediaTypes.dockerForeignLayerGzip, mediaTypes.dockerLayerGzip],
    [mediaTypes.ociLayerNonDistributableZstd, mediaTypes.ociLayerZstd],
    [mediaTypes.ociLayerGzip, mediaTypes.ociLayerGzip],
  ] as const)
    assert.deepEqual(withoutUrls({ mediaType: foreign, digest, size: 5, urls }), { mediaType: plain, digest, size: 5 });
});

test("annotations of a platform go over those for all, and only to that platform", () => {
  const annotations = Object.entries({
    "annotation.a": "1",
    "annotation[linux/arm64].a": "2",
    "annotation-manifest[linux/amd64].b": "3",
  }).flatMap(([key, value]) => parseAnnotation(key, value) ?? []);
  const of = (architecture: string): unknown =>
    selectAnnotations(annotations, "manifest", { os: "linux", architecture });
  assert.deepEqual(of("arm64"), { a: "2" });
  assert.deepEqual(of("amd64"), { a: "1", b: "3" });
  assert.equal(selectAnnotations(annotations, "index"), undefined);
});

test("resultPlatforms() refuses mappings that a frontend must not send", () => {
  for (const text of [
    "",
    "[]",
    "{}",
    '{"Platforms":[]}',
    '{"Platforms":[{"ID":""}]}',
    '{"Platforms":[{"ID":"x","Platform":{"os":"linux"}}]}',
  ])
    assert.throws(() => resultPlatforms(new Map([["refs.platforms", Buffer.from(text)]])), {
      code: "invalid_argument",
    });
});
