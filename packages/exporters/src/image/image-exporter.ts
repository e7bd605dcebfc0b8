import type { ContentProvider, ContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, isDigest } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import type { RegistryClient } from "@buildkit-ts/registry";
import { SessionCredentials, type SessionManager } from "@buildkit-ts/session";
import { fetchLayers } from "../archive/archive-exporter.ts";
import type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "../exporter.ts";
import type { BlobPins, ImageStore } from "../image-store.ts";
import { parseFlag } from "../options/attributes.ts";
import { type ImageOptions, parseImageOptions } from "../options/image-options.ts";
import { normalizeName, outputNames } from "./image-names.ts";
import { describeImage } from "./image-response.ts";
import { type CommittedImage, ImageWriter } from "./image-writer.ts";
import type { LayerRewriter } from "./layer-rewriter.ts";
import { pushImage } from "./push-image.ts";

/** What {@linkcode ImageExporter} works with. */
export interface ImageExporterOptions {
  readonly content: ContentStore;
  readonly registry: RegistryClient;
  readonly sessions: SessionManager;
  readonly pins?: Pick<BlobPins, "pinBlobs">;
  /** Without it `rewrite-timestamp` is refused. */
  readonly rewriter?: LayerRewriter;
  /** Absent: images get no names on this machine. */
  readonly images?: ImageStore;
}

/** The output `image`: an image in this machine's store, in registries, or both. */
export class ImageExporter implements Exporter {
  readonly #options: ImageExporterOptions;

  constructor(options: ImageExporterOptions) {
    this.#options = options;
  }

  resolve(attributes: Readonly<Record<string, string>>): ExporterInstance {
    const image = parseImageOptions(attributes, { attestationInline: true });
    return new ImageExporterInstance({ image, naming: parseNaming(image.rest) }, this.#options);
  }
}

interface Naming {
  readonly push: boolean;
  readonly pushByDigest: boolean;
  readonly insecure: boolean;
  readonly store: boolean;
  /** Stores the image also when some of its layers are still in a registry. */
  readonly allowIncomplete: boolean;
  readonly canonical: boolean;
  readonly danglingPrefix: string;
  readonly danglingEmptyOnly: boolean;
}

function parseNaming(rest: ReadonlyMap<string, string>): Naming {
  const flag = (key: string, absent: boolean): boolean => {
    const value = rest.get(key);
    return value === undefined ? absent : parseFlag(key, value);
  };
  // Accepted, since clients send it; nothing here unpacks.
  flag("unpack", false);
  return {
    push: flag("push", false),
    pushByDigest: flag("push-by-digest", false),
    insecure: flag("registry.insecure", false),
    store: flag("store", true),
    allowIncomplete: flag("unsafe-internal-store-allow-incomplete", false),
    canonical: flag("name-canonical", false),
    danglingPrefix: rest.get("dangling-name-prefix") ?? "",
    danglingEmptyOnly: flag("danging-name-empty-only", false),
  };
}

class ImageExporterInstance implements ExporterInstance {
  readonly name = "exporting to image";
  readonly compression: ImageOptions["compression"];
  readonly #image: ImageOptions;
  readonly #naming: Naming;
  readonly #options: ImageExporterOptions;

  constructor(attributes: { readonly image: ImageOptions; readonly naming: Naming }, options: ImageExporterOptions) {
    this.compression = attributes.image.compression;
    this.#image = attributes.image;
    this.#naming = attributes.naming;
    this.#options = options;
  }

  async export(input: ExportInput, context: ExportContext): Promise<ExportOutput> {
    const image = await new ImageWriter(this.#options).commit(input, this.#image, context);
    const given = outputNames(this.#image.name, input.metadata);
    const names = this.#withDangling(given, image.descriptor);
    if (this.#options.images !== undefined && this.#naming.store && names.length > 0)
      await this.#store(this.#options.images, { image, names, canonical: given.length > 0 }, context);
    const response = {
      ...describeImage(image, image.descriptor),
      ...(names.length > 0 && { "image.name": names.join(",") }),
    };
    if (!this.#naming.push || names.length === 0) return { response };
    return { response, finalize: async (later) => await this.#push(image, names, later) };
  }

  #withDangling(names: readonly string[], descriptor: Descriptor): string[] {
    const { danglingPrefix, danglingEmptyOnly } = this.#naming;
    if (danglingPrefix === "" || (danglingEmptyOnly && names.length > 0)) return [...names];
    return [...names, `${danglingPrefix}@${descriptor.digest}`];
  }

  async #store(
    images: ImageStore,
    named: { readonly image: CommittedImage; readonly names: readonly string[]; readonly canonical: boolean },
    context: ExportContext,
  ): Promise<void> {
    const { image, names } = named;
    const { descriptor } = image;
    if (!this.#naming.allowIncomplete) await fetchLayers(this.#options.content, image, context);
    for (const name of names) {
      const stored = name.includes("@") ? name : normalizeName(name);
      await withStatus(context.progress, `naming to ${name}`, async () => {
        await images.put({ name: stored, descriptor }, context);
        if (this.#naming.canonical && named.canonical && !name.includes("@"))
          await images.put({ name: `${stored}@${descriptor.digest}`, descriptor }, context);
      });
    }
  }

  async #push(image: CommittedImage, names: readonly string[], context: ExportContext): Promise<void> {
    const layers = image.remotes.flatMap((remote) => remote.layers.map((layer) => layer.descriptor));
    const { registry, sessions } = this.#options;
    const credentials = new SessionCredentials({ sessions, ids: () => context.sessions() });
    for (const name of names) {
      const request = {
        image: image.descriptor,
        content: contentOf(image, this.#options.content),
        layers,
        name,
        byDigest: this.#naming.pushByDigest,
        insecure: this.#naming.insecure,
        credentials,
      };
      try {
        await pushImage(registry, request, context);
      } catch (error) {
        context.signal.throwIfAborted();
        const { code, message, hint } = BuildError.from(error);
        const failure = `failed to push ${name.slice(0, 300)}: ${message}`;
        throw new BuildError(code, failure, { cause: error, ...(hint !== undefined && { hint }) });
      }
    }
  }
}

/** Reads an image's blobs: those in the store from there, layers that are elsewhere through their remotes. */
function contentOf(image: CommittedImage, store: ContentStore): ContentProvider {
  const providers = new Map(
    image.remotes.flatMap((remote) =>
      remote.layers.map((layer) => [layer.descriptor.digest, remote.provider] as const),
    ),
  );
  return {
    open: async (descriptor, options) => {
      const provider = isDigest(descriptor.digest) ? providers.get(descriptor.digest) : undefined;
      const isStored = provider === undefined || (await store.find(descriptor.digest)) !== undefined;
      return await (isStored ? store : provider).open(descriptor, options);
    },
  };
}
