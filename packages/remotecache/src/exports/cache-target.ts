import type { ContentProvider } from "@buildkit-ts/content";
import type { Descriptor } from "@buildkit-ts/oci";

/** A place that takes an exported cache: first all layers, then the config, at last the manifest that names them. */
export interface CacheTarget {
  /** Makes the place have a blob, from wherever the provider reads it. */
  writeLayer(descriptor: Descriptor, from: ContentProvider, options: { readonly signal: AbortSignal }): Promise<void>;
  writeConfig(descriptor: Descriptor, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Makes the cache visible. */
  writeManifest(descriptor: Descriptor, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;
}
