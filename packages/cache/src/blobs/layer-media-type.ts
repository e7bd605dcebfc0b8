import {
  type Compression,
  compressionOfMediaType,
  type Descriptor,
  type DiffId,
  mediaTypes,
  stargzAnnotations,
} from "@buildkit-ts/oci";

/** The DiffID of a blob whose archive is another one than its record's first blob's. */
const diffIdAnnotation = "containerd.io/uncompressed";

/** The blob with a DiffID of its own. */
export function withDiffId(descriptor: Descriptor, diffId: DiffId): Descriptor {
  return { ...descriptor, annotations: { ...descriptor.annotations, [diffIdAnnotation]: diffId } };
}

/** The DiffID of one of a record's blobs; `diffId` is the record's. */
export function diffIdOf<T extends DiffId | undefined>(descriptor: Descriptor, diffId: T): DiffId | T {
  return (descriptor.annotations?.[diffIdAnnotation] as DiffId | undefined) ?? diffId;
}

/** A blob as others describe it: a DiffID that they state there is not to be believed. */
export function withoutDiffId(descriptor: Descriptor): Descriptor {
  if (descriptor.annotations?.[diffIdAnnotation] === undefined) return descriptor;
  const { [diffIdAnnotation]: _stated, ...annotations } = descriptor.annotations;
  return { ...descriptor, annotations };
}

/** How a layer's blob is compressed, as far as its descriptor tells. */
export function compressionOf(descriptor: Descriptor): Compression | undefined {
  const compression = compressionOfMediaType(descriptor.mediaType);
  const isStargz = compression === "gzip" && descriptor.annotations?.[stargzAnnotations.tocDigest] !== undefined;
  return isStargz ? "estargz" : compression;
}

const equalTypes: readonly (readonly [oci: string, docker: string])[] = [
  [mediaTypes.ociLayer, mediaTypes.dockerLayer],
  [mediaTypes.ociLayerGzip, mediaTypes.dockerLayerGzip],
  [mediaTypes.ociLayerZstd, mediaTypes.dockerLayerZstd],
  [mediaTypes.ociLayerNonDistributable, mediaTypes.dockerForeignLayer],
  [mediaTypes.ociLayerNonDistributableGzip, mediaTypes.dockerForeignLayerGzip],
];

/** The same blob under OCI's or Docker's name for its type; a type without counterpart stays. */
export function withMediaTypeOf(descriptor: Descriptor, family: { readonly oci: boolean }): Descriptor {
  const pair = equalTypes.find((types) => types.includes(descriptor.mediaType));
  const mediaType = family.oci ? pair?.[0] : pair?.[1];
  return mediaType === undefined || mediaType === descriptor.mediaType ? descriptor : { ...descriptor, mediaType };
}
