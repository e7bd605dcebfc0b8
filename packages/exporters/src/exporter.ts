import type { CompressionOptions, ImmutableRef } from "@buildkit-ts/cache";
import type { Digest, Platform } from "@buildkit-ts/oci";
import type { ProgressWriter } from "@buildkit-ts/progress";
import type { Attestation } from "@buildkit-ts/provenance";

/** The result of a build: one ref, or one for each platform id, with the metadata the frontend gave. A ref may be undefined (`scratch`). */
export interface ExportInput {
  readonly ref: ImmutableRef | undefined;
  /** By platform id; empty for a single result. */
  readonly refs: ReadonlyMap<string, ImmutableRef | undefined>;
  /** `containerimage.config`, `refs.platforms`, annotations… */
  readonly metadata: ReadonlyMap<string, Uint8Array>;
  /** Statements about the result, by platform id, also for a single result. */
  readonly attestations: ReadonlyMap<string, readonly Attestation<ImmutableRef>[]>;
  /**
   * Inline cache JSON by platform id ("" for a single result) for an image of these layers, where asked for. They were
   * made as `compression` of the output says.
   */
  readonly inlineCache?: (
    platform: string,
    image: { readonly layers: readonly Digest[]; readonly compression: CompressionOptions },
    context: ExportContext,
  ) => Promise<Uint8Array | undefined>;
}

export interface ExportContext {
  readonly signal: AbortSignal;
  readonly progress: ProgressWriter;
  /** The session that asked for the export; image credentials and client files go through it. */
  readonly session: string;
  /** Index of this exporter in the request: `buildkit-attachable-exporter-id`. */
  readonly exporterIndex: number;
  /** Which set of defaults the client wants: 30 is the present one. */
  readonly compatibilityVersion: number;
  readonly platform: Platform;
  /** Who holds what belongs to no record, until the build ends; without it such blobs stay. */
  readonly owner?: string;
  sessions(): readonly string[];
}

export interface ExportOutput {
  /** `ExporterResponse` entries. */
  readonly response: Readonly<Record<string, string>>;
  /** Work that may run beside the cache export (a push). */
  readonly finalize?: (context: ExportContext) => Promise<void>;
}

/** One configured output of a build. */
export interface ExporterInstance {
  /** The vertex name, such as `exporting to image`. */
  readonly name: string;
  /** What kind of blobs it wants, for inline caches. */
  readonly compression: CompressionOptions;
  export(input: ExportInput, context: ExportContext): Promise<ExportOutput>;
}

/** A kind of output: `image`, `oci`, `docker`, `local`, `tar`. */
export interface Exporter {
  /** @throws {BuildError} `invalid_argument`, for an attribute with a value it cannot use. Unknown attributes pass. */
  resolve(attributes: Readonly<Record<string, string>>): ExporterInstance;
}
