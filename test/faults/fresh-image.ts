import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { digestOf } from "@buildkit-ts/oci";
import { encodeTarHeader, tarEnd, tarPadding } from "@buildkit-ts/tar";

/** A tar of files, with attributes that are always the same. */
export function archiveOf(files: Readonly<Record<string, Uint8Array>>): Buffer {
  const attributes = { type: "file", mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0 } as const;
  const parts = Object.entries(files).flatMap(([name, bytes]) => [
    encodeTarHeader({ ...attributes, name, size: bytes.length }),
    bytes,
    Buffer.alloc(tarPadding(bytes.length)),
  ]);
  return Buffer.concat([...parts, tarEnd]);
}

/** Puts an image into a registry whose layers nobody has: each has a file `layer-N` that nothing makes smaller. */
export async function pushFreshImage(
  host: string,
  image: { readonly name: string; readonly layers: number },
): Promise<void> {
  const base = `http://${host}/v2/${image.name}`;
  const put = async (bytes: Buffer): Promise<{ digest: string; size: number }> => {
    const started = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
    const url = new URL(started.headers.get("location") ?? "", base);
    const digest = digestOf(bytes);
    url.searchParams.set("digest", digest);
    const { status } = await fetch(url, { method: "PUT", body: new Uint8Array(bytes) });
    assert.equal(status, 201);
    return { digest, size: bytes.length };
  };
  const tars = Array.from({ length: image.layers }, (_, index) =>
    archiveOf({ [`layer-${index}`]: randomBytes(30_000) }),
  );
  const oci = "application/vnd.oci.image";
  const layers: object[] = [];
  for (const tar of tars) layers.push({ mediaType: `${oci}.layer.v1.tar+gzip`, ...(await put(gzipSync(tar))) });
  const rootfs = { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) };
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const config = await put(Buffer.from(JSON.stringify({ architecture, os: "linux", config: {}, rootfs })));
  const mediaType = `${oci}.manifest.v1+json`;
  const manifest = { schemaVersion: 2, mediaType, config: { mediaType: `${oci}.config.v1+json`, ...config }, layers };
  const headers = { "content-type": mediaType };
  const { status } = await fetch(`${base}/manifests/v1`, { method: "PUT", headers, body: JSON.stringify(manifest) });
  assert.equal(status, 201);
}
