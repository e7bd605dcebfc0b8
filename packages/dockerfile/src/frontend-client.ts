import type { Definition } from "@buildkit-ts/llb";
import type { Digest, Platform } from "@buildkit-ts/oci";
import type { Attestations } from "@buildkit-ts/provenance";

/** Metadata of an image, without its layers. */
export interface ResolvedImage {
  readonly digest: Digest;
  /** The raw image config. */
  readonly config: Uint8Array;
  /** The reference that was resolved, possibly rewritten by a policy. */
  readonly ref: string;
}

/** An entry of a directory in a solved tree. */
export interface FrontendDirectoryEntry {
  /** Its name. */
  readonly path: string;
  /** Bits of Go's `FileMode`. */
  readonly mode: number;
  /** Nanoseconds since the epoch. */
  readonly modTime: bigint;
}

/** What is known of a source before it is fetched; only what its kind has. */
export interface ResolvedSource {
  /** The raw commit. */
  readonly commitObject?: Uint8Array;
  /** Seconds since the epoch. */
  readonly lastModified?: bigint;
}

/** A solved tree that a frontend can look into. */
export interface FrontendRef {
  readFile(
    path: string,
    options: { readonly signal: AbortSignal; readonly offset?: number; readonly length?: number },
  ): Promise<Uint8Array>;
  readDirectory(path: string, options: { readonly signal: AbortSignal }): Promise<readonly FrontendDirectoryEntry[]>;
  /** Makes sure that it is built. */
  evaluate(options: { readonly signal: AbortSignal }): Promise<void>;
}

/** What a frontend gives back: `gateway.Result`. */
export interface FrontendResult<Ref = FrontendRef> {
  readonly ref: Ref | undefined;
  /** By platform id; empty for a single result. */
  readonly refs: ReadonlyMap<string, Ref | undefined>;
  readonly metadata: ReadonlyMap<string, Uint8Array>;
  /** Statements about the result, by platform id. */
  readonly attestations?: Attestations<Ref>;
}

export interface FrontendWarning {
  readonly level: number;
  readonly short: string;
  readonly detail: readonly string[];
  readonly url: string;
  readonly source?: {
    readonly filename: string;
    readonly language: string;
    readonly data: Uint8Array;
    readonly definition?: Definition;
  };
  readonly ranges: readonly {
    readonly start: { line: number; character: number };
    readonly end: { line: number; character: number };
  }[];
}

/**
 * What a frontend asks of whoever runs it: the daemon in-process, or a gateway connection.
 * The messages are those of `LLBBridge`.
 */
export interface FrontendClient {
  /** Frontend options: `filename`, `build-arg:…`, `context:…` and the rest of FrontendAttrs. */
  readonly options: Readonly<Record<string, string>>;
  readonly sessionId: string;
  /** Platforms of the worker, the default first. */
  readonly workerPlatforms: readonly Platform[];
  readonly llbCapabilities: ReadonlySet<string>;
  /** Frontend inputs by name (definitions handed over by the client). */
  inputs(): Promise<ReadonlyMap<string, Definition>>;
  solve(
    request: {
      readonly definition?: Definition;
      readonly frontend?: string;
      readonly options?: Readonly<Record<string, string>>;
      readonly inputs?: ReadonlyMap<string, Definition>;
      readonly cacheImports?: readonly {
        readonly type: string;
        readonly attributes: Readonly<Record<string, string>>;
      }[];
      readonly evaluate?: boolean;
    },
    options: { readonly signal: AbortSignal },
  ): Promise<FrontendResult>;
  resolveImage(
    reference: string,
    request: {
      readonly platform?: Platform;
      readonly resolveMode: string;
      readonly logName: string;
      /** For `oci-layout` references. */
      readonly store?: { readonly sessionId: string; readonly storeId: string };
    },
    options: { readonly signal: AbortSignal },
  ): Promise<ResolvedImage>;
  /** Asks for the metadata of a source that is no image. */
  resolveSource(
    source: { readonly identifier: string; readonly attributes: Readonly<Record<string, string>> },
    request: { readonly logName: string },
    options: { readonly signal: AbortSignal },
  ): Promise<ResolvedSource>;
  warn(vertex: Digest, warning: FrontendWarning): Promise<void>;
}
