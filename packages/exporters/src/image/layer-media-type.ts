import { sortKeys } from "@buildkit-ts/gotext";
import { type Descriptor, mediaTypes } from "@buildkit-ts/oci";
import { isBlobSource } from "@buildkit-ts/registry";

const pairs: readonly (readonly [docker: string, oci: string])[] = [
  [mediaTypes.dockerLayer, mediaTypes.ociLayer],
  [mediaTypes.dockerLayerGzip, mediaTypes.ociLayerGzip],
  [mediaTypes.dockerLayerZstd, mediaTypes.ociLayerZstd],
  [mediaTypes.dockerForeignLayer, mediaTypes.ociLayerNonDistributable],
  [mediaTypes.dockerForeignLayerGzip, mediaTypes.ociLayerNonDistributableGzip],
];
const toOci = new Map(pairs);
const toDocker = new Map(pairs.map(([docker, oci]) => [oci, docker]));

/** The layer in OCI's or Docker's spelling of its media type; unknown types stay. */
export function withMediaTypeOf(layer: Descriptor, family: "oci" | "docker"): Descriptor {
  const mediaType = (family === "oci" ? toOci : toDocker).get(layer.mediaType) ?? layer.mediaType;
  return { ...layer, mediaType };
}

const distributable: ReadonlyMap<string, string> = new Map([
  [mediaTypes.ociLayerNonDistributable, mediaTypes.ociLayer],
  [mediaTypes.ociLayerNonDistributableGzip, mediaTypes.ociLayerGzip],
  [mediaTypes.ociLayerNonDistributableZstd, mediaTypes.ociLayerZstd],
  [mediaTypes.dockerForeignLayer, mediaTypes.dockerLayer],
  [mediaTypes.dockerForeignLayerGzip, mediaTypes.dockerLayerGzip],
]);

/** The layer as one that goes with its image like any other: without its URLs, and of a type that is pushed. */
export function withoutUrls(layer: Descriptor): Descriptor {
  const { urls: _urls, ...rest } = layer;
  return { ...rest, mediaType: distributable.get(layer.mediaType) ?? layer.mediaType };
}

/** Whether a layer's bytes must not be pushed (OCI image spec, "Non-Distributable Layers"). */
export function isNonDistributable(mediaType: string): boolean {
  return mediaType.includes(".nondistributable.") || mediaType.includes(".foreign.");
}

const internal = new Set(["containerd.io/uncompressed", "buildkit/createdat"]);

/** The layer without what is only ours to know; Docker's manifests have no annotations at all. */
export function withPublicAnnotations(layer: Descriptor, family: "oci" | "docker"): Descriptor {
  const { annotations = {}, ...rest } = layer;
  const kept = Object.entries(annotations).filter(
    ([key]) => family === "oci" && !internal.has(key) && !isBlobSource(key),
  );
  return kept.length === 0 ? rest : { ...rest, annotations: sortKeys(Object.fromEntries(kept)) };
}
