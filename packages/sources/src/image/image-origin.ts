import type { ContentProvider } from "@buildkit-ts/content";
import type { Descriptor, Digest, Reference } from "@buildkit-ts/oci";
import type { ProgressWriter } from "@buildkit-ts/progress";

/** On whose behalf, and how long, an image is asked for. */
export interface OriginAccess {
  /** Sessions whose credentials may be used, the most useful first; asked anew for each use. */
  sessions(): readonly string[];
  readonly signal: AbortSignal;
  readonly progress: ProgressWriter;
}

/** A place that images come from: registries, or a client's OCI layout. */
export interface ImageOrigin {
  /**
   * What a name stands for now: the descriptor of a manifest or of an index.
   *
   * @throws {BuildError} `not_found`, as `<reference>: not found`.
   */
  resolve(reference: Reference, access: OriginAccess): Promise<Descriptor>;
  /** Reads blobs of the name's repository. It must stay usable for as long as the access' sessions live. */
  provider(reference: Reference, access: Omit<OriginAccess, "signal">): ContentProvider;
  /** What refers to a manifest of the name's repository, such as signatures. Absent: nothing can. */
  referrers?(reference: Reference, digest: Digest, access: OriginAccess): Promise<readonly Descriptor[]>;
}
