import { type ContentProvider, readBlob } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson, sortKeys } from "@buildkit-ts/gotext";
import {
  type Descriptor,
  digestHex,
  formatFamiliar,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  mediaTypes,
  parseDigest,
  parseReference,
} from "@buildkit-ts/oci";
import { compareBytes, encodeTar, type TarEntry } from "@buildkit-ts/tar";
import { orderDescriptor } from "../image/order-descriptor.ts";

/** What goes into an archive. */
export interface ImageArchive {
  readonly image: Descriptor;
  /** Full references, each with a tag; one entry of `index.json` for each. */
  readonly names: readonly string[];
  /** Adds `manifest.json`, which `docker load` reads, for an image that stands alone or beside statements about it. */
  readonly dockerManifest: boolean;
  readonly content: ContentProvider;
}

/**
 * An image as a tar: an OCI image layout and, where asked for, Docker's `manifest.json` beside it. The entries are
 * sorted and have no times, so that equal images are equal archives.
 */
export async function* encodeImageArchive(
  archive: ImageArchive,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void> {
  const blobs = await listBlobs(archive.content, archive.image, options);
  const entries: TarEntry[] = [
    file("oci-layout", Buffer.from(formatGoJson({ imageLayoutVersion: "1.0.0" })), 0o444),
    file("index.json", indexJson(archive), 0o644),
    directory("blobs/"),
    ...new Set(blobs.map((blob) => blob.digest.split(":", 1)[0])).values().map((name) => directory(`blobs/${name}/`)),
    ...blobs.map((blob) => ({
      header: { ...fileHeader(blobPath(blob), blob.size), mode: 0o444 },
      content: readLazily(archive.content, blob, options),
    })),
  ];
  const single = archive.dockerManifest ? await singleImage(archive, options) : undefined;
  if (single !== undefined)
    entries.push(file("manifest.json", await dockerManifestJson({ ...archive, image: single }, options), 0o644));
  yield* encodeTar(
    entries.toSorted((a, b) => compareBytes(a.header.name, b.header.name)),
    options,
  );
}

/** All blobs of an image, each once: index, manifests, configs, layers. */
export async function listBlobs(
  content: ContentProvider,
  image: Descriptor,
  options: { readonly signal: AbortSignal },
): Promise<Descriptor[]> {
  const found = new Map<string, Descriptor>();
  const visit = async (descriptor: Descriptor): Promise<void> => {
    if (found.has(parseDigest(descriptor.digest))) return;
    found.set(descriptor.digest, descriptor);
    for (const child of await childrenOf(content, descriptor, options)) await visit(child);
  };
  await visit(image);
  return [...found.values()];
}

/** The blobs that an index or a manifest names; none for others. */
export async function childrenOf(
  content: ContentProvider,
  descriptor: Descriptor,
  options: { readonly signal: AbortSignal },
): Promise<readonly Descriptor[]> {
  const isIndex = isIndexType(descriptor.mediaType);
  if (!isIndex && !isManifestType(descriptor.mediaType)) return [];
  const value: unknown = JSON.parse((await readBlob(content, descriptor, options)).toString("utf8"));
  if (isIndex) return (value as Index).manifests;
  return [(value as Manifest).config, ...((value as Manifest).layers ?? [])];
}

function indexJson(archive: ImageArchive): Buffer {
  const named = archive.names.map((name) => {
    const { tag, digest } = parseReference(name);
    const annotations = {
      ...archive.image.annotations,
      "io.containerd.image.name": name,
      "org.opencontainers.image.ref.name": tag ?? (digest === undefined ? name : `@${digest}`),
    };
    return { ...archive.image, annotations: sortKeys(annotations) };
  });
  const manifests = named.length === 0 ? [archive.image] : named;
  return Buffer.from(
    formatGoJson({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: manifests.map(orderDescriptor) }),
  );
}

/** The one image of an archive; undefined for several. Statements have a platform that nothing runs on. */
async function singleImage(
  { image, content }: ImageArchive,
  options: { readonly signal: AbortSignal },
): Promise<Descriptor | undefined> {
  if (isManifestType(image.mediaType)) return image;
  const [first, ...others] = (await childrenOf(content, image, options)).filter(
    ({ platform }) => platform?.os !== "unknown",
  );
  return others.length === 0 ? first : undefined;
}

async function dockerManifestJson(archive: ImageArchive, options: { readonly signal: AbortSignal }): Promise<Buffer> {
  const [config, ...layers] = await childrenOf(archive.content, archive.image, options);
  if (config === undefined) throw new BuildError("internal", "Cannot export image: its manifest names no config");
  const tags = archive.names.map((name) => formatFamiliar(parseReference(name)));
  const image = { Config: blobPath(config), RepoTags: tags.length === 0 ? null : tags, Layers: layers.map(blobPath) };
  return Buffer.from(formatGoJson([image]));
}

function blobPath(blob: Descriptor): string {
  return `blobs/${blob.digest.split(":", 1)[0]}/${digestHex(blob.digest)}`;
}

async function* readLazily(
  content: ContentProvider,
  blob: Descriptor,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void> {
  yield* await content.open(blob, options);
}

function fileHeader(name: string, size: number): TarEntry["header"] {
  return { name, type: "file", mode: 0o644, uid: 0, gid: 0, size, mtimeSeconds: 0 };
}

function file(name: string, bytes: Buffer, mode: number): TarEntry {
  return { header: { ...fileHeader(name, bytes.length), mode }, content: [bytes] };
}

function directory(name: string): TarEntry {
  return { header: { ...fileHeader(name, 0), type: "directory", mode: 0o755 }, content: [] };
}
