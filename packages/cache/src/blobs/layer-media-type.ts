import { type Compression, compressionOfMediaType, type Descriptor, mediaTypes } from "@buildkit-ts/oci";

const stargzTocAnnotation = "containerd.io/snapshot/stargz/toc.digest";

/** How a layer's blob is compressed, as far as its descriptor tells. */
export function compressionOf(descriptor: Descriptor): Compression | undefined {
  const compression = compressionOfMediaType(descriptor.mediaType);
  const isStargz = compression === "gzip" && descriptor.annotations?.[stargzTocAnnotation] !== undefined;
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
