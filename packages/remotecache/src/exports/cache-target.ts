import type { ContentProvider } from "@buildkit-ts/content";
import type { Descriptor } from "@buildkit-ts/oci";

/** Where a layer is. */
export interface LayerSource {
  readonly provider: ContentProvider;
  /** The layer as the cache knows it, with annotations that say which repositories have it. */
  readonly known: Pick<Descriptor, "annotations">;
}

/** A place that takes an exported cache: first all layers, then the config, at last the manifest that names them. */
export interface CacheTarget {
  /** Makes the place have a blob, from wherever it is. */
  writeLayer(descriptor: Descriptor, from: LayerSource, options: { readonly signal: AbortSignal }): Promise<void>;
  writeConfig(descriptor: Descriptor, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Makes the cache visible. */
  writeManifest(descriptor: Descriptor, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;
}
