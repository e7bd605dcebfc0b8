import type { ContentProvider, ContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, formatPlatform, isDigest, normalizePlatform } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import type { RegistryClient } from "@buildkit-ts/registry";
import { SessionCredentials, type SessionManager } from "@buildkit-ts/session";
import type { BlobPins } from "../blob-pins.ts";
import type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "../exporter.ts";
import { withAttributeMetadata } from "../options/attribute-metadata.ts";
import { parseFlag } from "../options/attributes.ts";
import { type ImageOptions, parseImageOptions, withCompatibleTypes } from "../options/image-options.ts";
import { findRef, resultPlatforms } from "../options/result-platforms.ts";
import { outputNames } from "./image-names.ts";
import { describeImage } from "./image-response.ts";
import { type CommittedImage, ImageWriter } from "./image-writer.ts";
import type { LayerRewriter } from "./layer-rewriter.ts";
import { pushImage } from "./push-image.ts";

/** What {@linkcode ImageExporter} works with. */
export interface ImageExporterOptions {
  readonly content: ContentStore;
  readonly registry: RegistryClient;
  readonly sessions: SessionManager;
  readonly pins?: BlobPins;
  /** Without it `rewrite-timestamp` is refused. */
  readonly rewriter?: LayerRewriter;
}

/** The output `image`: the blobs of an image here, and the image in registries. It gets no name on this machine. */
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
  /** Leaves the result unpacked, ready to be built on. */
  readonly unpack: boolean;
  readonly danglingPrefix: string;
  readonly danglingEmptyOnly: boolean;
}

/** Settings of an image store, which clients send to every worker. */
const storeKeys = ["store", "unsafe-internal-store-allow-incomplete", "name-canonical"];
const knownKeys: ReadonlySet<string> = new Set([
  ...storeKeys,
  "push",
  "push-by-digest",
  "registry.insecure",
  "unpack",
  "dangling-name-prefix",
  "danging-name-empty-only",
]);

function parseNaming(rest: ReadonlyMap<string, string>): Naming {
  const flag = (key: string, absent: boolean): boolean => {
    const value = rest.get(key);
    return value === undefined ? absent : parseFlag(key, value);
  };
  for (const key of storeKeys) flag(key, false);
  return {
    push: flag("push", false),
    pushByDigest: flag("push-by-digest", false),
    insecure: flag("registry.insecure", false),
    unpack: flag("unpack", false),
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

  async export(result: ExportInput, context: ExportContext): Promise<ExportOutput> {
    if (this.#naming.unpack && this.#image.rewriteTimestamp)
      throw new BuildError("invalid_argument", 'exporter option "rewrite-timestamp" conflicts with "unpack"');
    const input = withAttributeMetadata(result, this.#image.rest, knownKeys);
    const isAttested = input.attestations.size > 0;
    const options = withCompatibleTypes(this.#image, { ...context, isAttested, exporter: "image" });
    const image = await new ImageWriter(this.#options).commit(input, options, context);
    const names = this.#withDangling(outputNames(this.#image.name, input.metadata), image.descriptor);
    if (this.#naming.unpack) await unpack(input, { names, context });
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

/** Gives the result for this machine's platform its tree; results for others are of no use here. */
async function unpack(
  input: ExportInput,
  options: { readonly names: readonly string[]; readonly context: ExportContext },
): Promise<void> {
  const { context, names } = options;
  const wanted = formatPlatform(normalizePlatform(context.platform));
  const own = resultPlatforms(input.metadata).find(({ platform }) => formatPlatform(platform) === wanted);
  const ref = own === undefined ? undefined : findRef(input, own.id);
  if (ref === undefined) return;
  const { signal, progress } = context;
  await withStatus(progress, `unpacking to ${names[0] ?? ""}`, async () => {
    await ref.extract({ signal, progress, session: context.sessions() });
  });
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
