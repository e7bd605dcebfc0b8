import type { Mount } from "@buildkit-ts/mount";
import type { Compression, Descriptor, DiffId } from "@buildkit-ts/oci";

/** A layer blob that was made: its DiffID, and the descriptor of the compressed file at the ingest path. */
export interface MadeLayer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  /** Whether the layer's archive is another one than its source's, with or without a table of contents. */
  readonly isOtherArchive?: boolean;
}

export interface MakeLayerOptions {
  readonly signal: AbortSignal;
  readonly compression: { readonly type: Compression; readonly level?: number; readonly ociMediaTypes: boolean };
  /** Where the blob is written (see FileContentStore.createIngestPath); the caller adopts or removes it. */
  readonly outputPath: string;
  /** Clamps times of entries to this many seconds since the epoch. */
  readonly sourceDateEpoch?: number;
}

/** A layer that was unpacked. */
export interface AppliedLayer {
  readonly diffId: DiffId;
  /** Of the uncompressed tar. */
  readonly sizeBytes: number;
  /** Directories that were made because something is in them, without an entry of their own. */
  readonly impliedDirectories: readonly string[];
}

/**
 * Turns trees into layers and layers into trees, in worker threads that read and write by file descriptor.
 */
export interface LayerCodec {
  /** The changes from `lower` to `upper` as a layer: diff → tar → DiffID → compress → digest in one pass. `lower` undefined is empty. */
  make(
    lower: readonly Mount[] | undefined,
    upper: readonly Mount[],
    options: MakeLayerOptions & { readonly upperDir?: string },
  ): Promise<MadeLayer>;
  /** Compresses an existing layer blob anew. The table of contents of an eStargz layer is left out. */
  recompress(blobPath: string, mediaType: string, options: MakeLayerOptions): Promise<MadeLayer>;
  /**
   * Unpacks a layer blob into a mounted (or plain) directory, whiteouts applied as the target's file system needs.
   *
   * @throws {BuildError} `data_loss`, if the uncompressed bytes do not hash to `expected`; `invalid_argument`, for a tar that is none.
   */
  apply(
    blob: { readonly path: string; readonly mediaType: string },
    target: {
      readonly directory: string;
      readonly form: "overlay-upper" | "merged";
      /** Directories of lower layers, highest first: directories that the layer needs but does not have get their attributes. */
      readonly parents?: readonly string[];
    },
    options: { readonly signal: AbortSignal; readonly expected?: DiffId },
  ): Promise<AppliedLayer>;
  /**
   * Gives directories that a layer only implied the attributes that they have in lower layers: what `parents` does while a
   * layer is applied, for layers that were applied before those below them.
   */
  inheritAttributes(
    target: {
      readonly directory: string;
      /** As {@linkcode AppliedLayer.impliedDirectories} names them. */
      readonly paths: readonly string[];
      /** Directories of lower layers, highest first. */
      readonly parents: readonly string[];
    },
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
}
