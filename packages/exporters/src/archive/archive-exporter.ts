import { type ContentStore, copyBlob } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatTime, sortKeys } from "@buildkit-ts/gotext";
import type { Descriptor } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import { type SessionManager, sendBytes } from "@buildkit-ts/session";
import type { BlobPins } from "../blob-pins.ts";
import type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "../exporter.ts";
import { rechunk } from "../files/rechunk.ts";
import { normalizeName, outputNames } from "../image/image-names.ts";
import { describeImage } from "../image/image-response.ts";
import { type CommittedImage, ImageWriter } from "../image/image-writer.ts";
import type { LayerRewriter } from "../image/layer-rewriter.ts";
import { withAttributeMetadata } from "../options/attribute-metadata.ts";
import { parseFlag } from "../options/attributes.ts";
import { type ImageOptions, parseImageOptions, withCompatibleTypes } from "../options/image-options.ts";
import { copyToClientStore } from "./client-store.ts";
import { encodeImageArchive } from "./image-archive.ts";

/** What {@linkcode ArchiveExporter} works with. */
export interface ArchiveExporterOptions {
  /** `docker` adds what `docker load` needs, and takes one platform only. */
  readonly variant: "oci" | "docker";
  readonly content: ContentStore;
  readonly pins?: BlobPins;
  /** Without it `rewrite-timestamp` is refused. */
  readonly rewriter?: LayerRewriter;
  readonly sessions: SessionManager;
}

/** The outputs `oci` and `docker`: an image as a tar that the client takes, or blob by blob (`tar=false`). */
export class ArchiveExporter implements Exporter {
  readonly #options: ArchiveExporterOptions;

  constructor(options: ArchiveExporterOptions) {
    this.#options = options;
  }

  resolve(attributes: Readonly<Record<string, string>>): ExporterInstance {
    return new ArchiveExporterInstance(parseImageOptions(attributes, { attestationInline: false }), this.#options);
  }
}

const knownKeys: ReadonlySet<string> = new Set(["tar"]);

class ArchiveExporterInstance implements ExporterInstance {
  readonly name: string;
  readonly compression: ImageOptions["compression"];
  readonly #image: ImageOptions;
  readonly #isTar: boolean;
  readonly #variant: "oci" | "docker";
  readonly #content: ContentStore;
  readonly #writer: ImageWriter;
  readonly #sessions: SessionManager;

  constructor(image: ImageOptions, options: ArchiveExporterOptions) {
    this.name = `exporting to ${options.variant} image format`;
    this.compression = image.compression;
    this.#image = image;
    this.#isTar = parseFlag("tar", image.rest.get("tar") ?? "");
    this.#variant = options.variant;
    this.#content = options.content;
    this.#writer = new ImageWriter(options);
    this.#sessions = options.sessions;
  }

  async export(result: ExportInput, context: ExportContext): Promise<ExportOutput> {
    const input = withAttributeMetadata(result, this.#image.rest, knownKeys);
    if (this.#variant === "docker" && input.refs.size > 0)
      throw new BuildError("invalid_argument", "docker exporter does not currently support exporting manifest lists");
    const isAttested = this.#variant === "oci" || input.attestations.size > 0;
    const options = withCompatibleTypes(this.#image, { ...context, isAttested, exporter: this.#variant });
    const image = await this.#writer.commit(input, options, context);
    const descriptor = this.#withCreated(image.descriptor);
    const names = outputNames(this.#image.name, input.metadata).map(normalizeName);
    const response = {
      ...describeImage(image, descriptor),
      ...(names.length > 0 && { "image.name": names.join(",") }),
    };
    const { signal } = context;
    const caller = await this.#sessions.get(context.session, { signal });
    await fetchLayers(this.#content, image, context);
    if (!this.#isTar) {
      await copyToClientStore(caller, { image: descriptor, content: this.#content }, { signal });
      return { response };
    }
    const archive = {
      image: descriptor,
      names,
      dockerManifest: this.#variant === "docker",
      content: this.#content,
    };
    await withStatus(context.progress, "sending tarball", async () => {
      const content = rechunk(encodeImageArchive(archive, { signal }));
      await sendBytes(caller, { exporterId: context.exporterIndex, metadata: response, content }, { signal });
    });
    return { response };
  }

  #withCreated(descriptor: Descriptor): Descriptor {
    const key = "org.opencontainers.image.created";
    const { seconds } = this.#image.epoch ?? { seconds: undefined };
    const created = formatTime(Math.floor(seconds ?? Date.now() / 1000) * 1000);
    const annotations = { [key]: created, ...descriptor.annotations };
    return { ...descriptor, annotations: sortKeys(annotations) };
  }
}

/** Brings the layers that are still in a registry into the content store. */
export async function fetchLayers(
  content: ContentStore,
  image: CommittedImage,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  for (const { layers, provider } of image.remotes) {
    await Promise.all(
      layers.map(async ({ descriptor }) => {
        await copyBlob(provider, content, { signal: options.signal, descriptor });
      }),
    );
  }
}
