import { rm } from "node:fs/promises";
import type { CompressionOptions, Remote, RemoteLayer } from "@buildkit-ts/cache";
import { copyBlob, type FileContentStore } from "@buildkit-ts/content";
import { formatTime } from "@buildkit-ts/gotext";
import type { LayerCodec } from "@buildkit-ts/layers";
import type { DiffId, Digest } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import type { ExportContext } from "../exporter.ts";

/** Tells in an image's manifest which layers were made anew, and for which epoch. */
const rewrittenAnnotation = "buildkit/rewritten-timestamp";

/** What {@linkcode LayerRewriter} works with. */
export interface LayerRewriterOptions {
  readonly content: FileContentStore;
  readonly codec: Pick<LayerCodec, "recompress">;
}

/** How layers are made anew. */
export interface RewriteRequest {
  readonly epochSeconds: number;
  readonly compression: CompressionOptions;
  /** DiffIDs of the base image: its layers stay as they are. */
  readonly baseLayers: readonly string[];
  /** Keeps a blob that will be there; called before it is. */
  pin(digest: Digest): Promise<void>;
}

/** Makes layers anew with no time in them later than an epoch. */
export class LayerRewriter {
  readonly #content: FileContentStore;
  readonly #codec: LayerRewriterOptions["codec"];

  constructor(options: LayerRewriterOptions) {
    this.#content = options.content;
    this.#codec = options.codec;
  }

  async rewrite(remote: Remote, request: RewriteRequest, context: ExportContext): Promise<Remote> {
    const { epochSeconds } = request;
    const firstOwn = firstDifference(remote.layers, request.baseLayers);
    const id = `rewriting layers with source-date-epoch ${epochSeconds} (${formatTime(epochSeconds * 1000)})`;
    const layers = await withStatus(context.progress, id, async () => {
      const all = remote.layers.map(async (layer, index) =>
        index < firstOwn ? layer : await this.#rewriteLayer(layer, { remote, request, context }),
      );
      const settled = await Promise.allSettled(all);
      return settled.map((one) => {
        if (one.status === "rejected") throw one.reason;
        return one.value;
      });
    });
    const own = new Set(layers.slice(firstOwn).map(({ descriptor }) => descriptor.digest));
    return {
      layers,
      provider: {
        open: async (descriptor, options) =>
          await (own.has(descriptor.digest) ? this.#content : remote.provider).open(descriptor, options),
      },
    };
  }

  async #rewriteLayer(
    layer: RemoteLayer,
    work: { readonly remote: Remote; readonly request: RewriteRequest; readonly context: ExportContext },
  ): Promise<RemoteLayer> {
    const { remote, request, context } = work;
    const { signal } = context;
    const { digest, mediaType } = layer.descriptor;
    await copyBlob(remote.provider, this.#content, { signal, descriptor: layer.descriptor });
    const outputPath = this.#content.createIngestPath();
    try {
      const { type, level, ociMediaTypes } = request.compression;
      const made = await this.#codec.recompress(this.#content.pathOf(digest), mediaType, {
        signal,
        outputPath,
        compression: { type, ociMediaTypes, ...(level !== undefined && { level }) },
        sourceDateEpoch: request.epochSeconds,
      });
      await request.pin(made.descriptor.digest);
      await this.#content.adopt(outputPath, made.descriptor);
      const annotations = { ...made.descriptor.annotations, [rewrittenAnnotation]: String(request.epochSeconds) };
      return { ...layer, descriptor: { ...made.descriptor, annotations }, diffId: made.diffId };
    } finally {
      await rm(outputPath, { force: true });
    }
  }
}

/** How many layers, from the bottom, are the base's. */
function firstDifference(layers: readonly { readonly diffId: DiffId }[], base: readonly string[]): number {
  const index = layers.findIndex(({ diffId }, i) => diffId !== base[i]);
  return index < 0 ? layers.length : index;
}
