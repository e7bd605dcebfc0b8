import type { ContentProvider } from "@buildkit-ts/content";
import type { Descriptor } from "@buildkit-ts/oci";
import type { OpContext } from "@buildkit-ts/solver";

/** A place that an exported cache is read from. */
export interface CacheOrigin {
  /** Tells caches of different places apart. */
  readonly id: string;
  /** Whether blobs must be fetched as soon as they are needed, since the place is gone when the build ends. */
  readonly isShortLived: boolean;
  /** Annotations of layers that say where their blobs are, for those who push them elsewhere. */
  readonly blobSource: Readonly<Record<string, string>>;
  /** The manifest, index or image that stands for the cache now. Its media type may be empty. */
  resolve(context: OpContext): Promise<Descriptor>;
  /** Reads blobs on behalf of these sessions. */
  provider(sessions: () => readonly string[]): ContentProvider;
}
