import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { type DiffId, digestOf } from "@buildkit-ts/oci";
import { attestationKeys, predicateTypes } from "@buildkit-ts/provenance";
import { encodeTarHeader, tarEnd } from "@buildkit-ts/tar";
import fc from "fast-check";
import { parseBundledStatement } from "./bundled-statement.ts";
import { parseExactly } from "./exact-json.ts";
import { LayerFiles } from "./layer-files.ts";
import type { ReadyAttestation } from "./read-attestations.ts";
import { supplementSbom } from "./supplement-sbom.ts";

const { signal } = new AbortController();

function layerOf(...names: string[]): Buffer {
  const headers = names.map((name) =>
    encodeTarHeader({ name, type: "file", mode: 0o644, uid: 0, gid: 0, size: 0, mtimeSeconds: 0 }),
  );
  return gzipSync(Buffer.concat([...headers, tarEnd]));
}

/** Layers, bottom first, and how often each was read. */
function layersOf(blobs: readonly Buffer[]): { readonly files: LayerFiles; readonly reads: string[] } {
  const reads: string[] = [];
  const byDigest = new Map(blobs.map((blob) => [digestOf(blob) as string, blob]));
  const layers = blobs.map((blob) => {
    const digest = digestOf(blob);
    const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: blob.length };
    return { descriptor, diffId: digest as DiffId, createdAt: 0, description: "" };
  });
  const provider = {
    open: async ({ digest }: { readonly digest: string }) => {
      reads.push(digest);
      const blob = byDigest.get(digest) ?? Buffer.alloc(0);
      return await Promise.resolve(
        (async function* () {
          yield await Promise.resolve(blob as Uint8Array);
        })(),
      );
    },
  };
  return { files: new LayerFiles({ layers, provider }), reads };
}

test("LayerFiles.find() gives the topmost layer that has a file, and reads no further than it must", async () => {
  const [bottom, top] = [layerOf("a", "b"), layerOf("b", "dir/.wh.c")];
  const { files, reads } = layersOf([bottom, top]);
  assert.equal(await files.find("b", { signal }), digestOf(top));
  assert.deepEqual(reads, [digestOf(top)]);
  assert.equal(await files.find("/a", { signal }), digestOf(bottom));
  assert.equal(await files.find("dir/.wh.c", { signal }), undefined);
  assert.equal(reads.length, 2);
});

function sbom(predicate: unknown, path = "sbom.spdx.json"): ReadyAttestation {
  const metadata = new Map([[attestationKeys.sbomCore as string, Buffer.from("sbom") as Uint8Array]]);
  return { predicateType: predicateTypes.spdx, subjects: [], predicate, path, metadata };
}

test("supplementSbom() names the layers of files in the document about the image itself, and nothing else", async () => {
  const { files } = layersOf([layerOf("a")]);
  const listed = [{ fileName: "a" }, { fileName: "a", comment: "mine" }, { fileName: "gone" }, null];
  const { predicate } = await supplementSbom(sbom({ spdxVersion: "SPDX-2.3", files: listed }), files, { signal });
  assert.deepEqual(predicate, {
    spdxVersion: "SPDX-2.3",
    files: [{ fileName: "a", comment: `layerID: ${digestOf(layerOf("a"))}` }, ...listed.slice(1)],
    creationInfo: { creators: ["Tool: buildkit-ts"] },
  });
  for (const other of [
    sbom({ spdxVersion: "SPDX-2.3", files: listed }, "sbom-stage.spdx.json"),
    sbom({ spdxVersion: 3 }),
    sbom("text"),
    sbom({ spdxVersion: "SPDX-2.3", files: "none" }),
    { ...sbom({ spdxVersion: "SPDX-2.3" }), predicateType: "https://example.invalid/other" },
  ]) {
    assert.equal(await supplementSbom(other, files, { signal }), other);
  }
});

test("parseBundledStatement() takes one in-toto statement, with numbers as they are written", () => {
  const text =
    '{"predicateType":"t","subject":[{"name":"n","digest":{"sha256":"' + "a".repeat(64) + '"}}],"predicate":';
  const { predicateType, subjects, predicate } = parseBundledStatement(
    Buffer.from(`${text}[1.0,12345678901234567890]}`),
  );
  assert.equal(predicateType, "t");
  assert.deepEqual(subjects, [{ kind: "raw", name: "n", digests: [`sha256:${"a".repeat(64)}`] }]);
  assert.equal(JSON.stringify(predicate), "[1.0,12345678901234567890]");
  for (const bad of [
    "",
    "[]",
    "null",
    "{}",
    `${text}1`,
    `${text}1}{}`,
    '{"predicateType":"t","subject":[{"digest":{"md5":"x"}}]}',
  ])
    assert.throws(() => parseBundledStatement(Buffer.from(bad)), { code: "invalid_argument" });
});

test("parseExactly() is JSON.parse() for all that JavaScript writes", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      assert.equal(JSON.stringify(parseExactly(text)), JSON.stringify(JSON.parse(text)));
    }),
  );
});
