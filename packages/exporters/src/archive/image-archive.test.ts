import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { MemoryContentStore } from "@buildkit-ts/content";
import { type Descriptor, digestOf, mediaTypes } from "@buildkit-ts/oci";
import { encodeTarHeader, tarEnd } from "@buildkit-ts/tar";
import { writeBlob } from "../image/write-blob.ts";
import { encodeImageArchive } from "./image-archive.ts";

const { signal } = new AbortController();
const hasSkopeo = spawnSync("skopeo", ["--version"]).status === 0;

async function makeImage(content: MemoryContentStore): Promise<Descriptor> {
  const json = (mediaType: string, value: unknown): Promise<Descriptor> =>
    writeBlob(content, { mediaType, bytes: Buffer.from(JSON.stringify(value)) }, { signal });
  const header = { name: "etc/", type: "directory" as const, mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSeconds: 0 };
  const tar = Buffer.concat([encodeTarHeader(header), tarEnd]);
  const layer = await writeBlob(content, { mediaType: mediaTypes.ociLayerGzip, bytes: gzipSync(tar) }, { signal });
  const config = await json(mediaTypes.ociConfig, {
    architecture: "amd64",
    os: "linux",
    config: { Labels: { made: "here" } },
    rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
  });
  const mediaType = mediaTypes.ociManifest;
  return await json(mediaType, { schemaVersion: 2, mediaType, config, layers: [layer] });
}

for (const variant of ["oci", "docker"] as const) {
  test(`skopeo reads the ${variant} archive`, { skip: !hasSkopeo && "no skopeo" }, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "archive-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const content = new MemoryContentStore();
    const image = await makeImage(content);
    const path = join(directory, "image.tar");
    const names = ["docker.io/library/app:1", "localhost:5000/team/app:2"];
    const archive = { image, names, dockerManifest: variant === "docker", content };
    await pipeline(encodeImageArchive(archive, { signal }), createWriteStream(path));
    const references = variant === "docker" ? [`docker-archive:${path}:app:1`] : [`oci-archive:${path}:2`];
    for (const reference of references) {
      const inspected = JSON.parse(execFileSync("skopeo", ["inspect", reference], { encoding: "utf8" }));
      assert.deepEqual(inspected.Labels, { made: "here" });
      execFileSync("skopeo", ["copy", "-q", "--insecure-policy", reference, `dir:${directory}/copy`]);
    }
    const list = execFileSync("tar", ["tf", path], { encoding: "utf8" }).trim().split("\n");
    assert.deepEqual(list, list.toSorted(), "entries are sorted");
    assert.equal(list.includes("manifest.json"), variant === "docker");
  });
}
