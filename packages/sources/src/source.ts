import type { ImmutableRef } from "@buildkit-ts/cache";
import type { Platform } from "@buildkit-ts/oci";
import type { ProgressWriter } from "@buildkit-ts/progress";
import type { MetadataRequest, SourceMetadata } from "./source-metadata.ts";

/** The name under which builds hold the compatibility version that their clients want, a number. */
export const compatibilityVersionKey = "compatibility-version";

/** What a source is given while it works. */
export interface SourceContext {
  readonly signal: AbortSignal;
  readonly progress: ProgressWriter;
  /** Sessions of the builds that wait, the most useful first; asked anew for each use. */
  sessions(): readonly string[];
  /** What the builds that wait hold under a name. */
  values(key: string): readonly unknown[];
}

/** A `SourceOp`: where something comes from, and how. */
export interface SourceRequest {
  /** With its scheme: `docker-image://docker.io/library/busybox:latest`. */
  readonly identifier: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly platform: Platform;
  /** Digest of the vertex, for sources that keep state per vertex. */
  readonly vertex: string;
}

/** What is known of a source at some cost. */
export interface SourceCacheKey {
  /** Text that names the content; hashed by the caller as BuildKit does. */
  readonly key: string;
  /** The resolved, immutable identity, such as a digest (for provenance). */
  readonly pin: string;
  /** No further, more exact key will come. */
  readonly done: boolean;
}

/** One resolved use of a source. */
export interface SourceInstance {
  cacheKey(index: number, context: SourceContext): Promise<SourceCacheKey>;
  /** Undefined for an empty tree. */
  snapshot(context: SourceContext): Promise<ImmutableRef | undefined>;
}

/** A kind of source, for the schemes it names (without `://`). */
export interface Source {
  readonly schemes: readonly string[];
  /** @throws {BuildError} `invalid_argument`, for an identifier or attribute it cannot use, naming it. */
  resolve(request: SourceRequest): SourceInstance;
  /** What can be told without the files. Absent: nothing can. */
  resolveMetadata?(request: SourceRequest, wanted: MetadataRequest, context: SourceContext): Promise<SourceMetadata>;
}
