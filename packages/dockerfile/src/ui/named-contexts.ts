import { NotAnImageError } from "@buildkit-ts/errdefs";
import { quote } from "@buildkit-ts/gotext";
import { http, image, local, ociLayout, type State, scratch, stateFromDefinition } from "@buildkit-ts/llb";
import {
  formatFamiliar,
  formatPlatformAll,
  formatReference,
  hostPlatform,
  isDigest,
  type Platform,
  parseReference,
  withDefaultTag,
} from "@buildkit-ts/oci";
import type { NamedContext, NamedContextRequest } from "../convert/convert-options.ts";
import { parseGitRef } from "../convert/git-ref.ts";
import { readIgnoreFile } from "../convert/ignore-matcher.ts";
import { type ImageDraft, parseImage } from "../convert/image-draft.ts";
import { LateOutput } from "../convert/late-output.ts";
import type { FrontendClient } from "../frontend-client.ts";
import { splitVariable } from "../shell/environment.ts";
import { invalid, prefixError } from "../text/located-error.ts";
import { type BuildContext, gitContext } from "./build-context.ts";

type Loaded = Awaited<ReturnType<NamedContext["load"]>>;

interface Target {
  /** The reference that the Dockerfile uses. */
  readonly name: string;
  /** Option name without `context:`; shown in step names. */
  readonly key: string;
  /** What the client gave: `docker-image://…`, `local:…`. */
  readonly input: string;
  readonly request: NamedContextRequest & { readonly resolveMode: string };
  /** How often a policy has put something else in its place. */
  readonly conversions: number;
}

/** As many conversions as a policy may make of one context: more are a cycle. */
const maxConversions = 10;

/** Contexts that the client gives in place of images and stages: `context:<name>[::<platform>]`. */
export class NamedContexts {
  readonly #client: FrontendClient;
  readonly #context: BuildContext;
  readonly #resolveMode: string;

  constructor(client: FrontendClient, context: BuildContext, resolveMode: string) {
    this.#client = client;
    this.#context = context;
    this.#resolveMode = resolveMode;
  }

  /** @throws {BuildError} `invalid_argument` if the name could not be an image's. */
  find(reference: string, request: NamedContextRequest): NamedContext | undefined {
    const name = familiarName(reference);
    const platform = formatPlatformAll(request.platform ?? hostPlatform());
    for (const key of [`${name}::${platform}`, name]) {
      const input = this.#client.options[`context:${key}`];
      if (input === undefined) continue;
      const mode = { resolveMode: this.#resolveMode };
      const target = { name, key, input, request: { ...request, ...mode }, conversions: 0 };
      return { load: (options) => this.#load(target, options) };
    }
    return undefined;
  }

  async #load(target: Target, options: { readonly signal: AbortSignal }): Promise<Loaded> {
    const { input, key, conversions } = target;
    if (conversions > maxConversions) {
      const cycle = "context recursion limit exceeded; this may indicate a cycle in the provided source policies";
      throw invalid(`${cycle}: ${input}`);
    }
    const colon = input.indexOf(":");
    if (colon < 0) throw invalid(`invalid context specifier ${input} for ${key}`);
    const scheme = input.startsWith("git@") ? "git" : input.slice(0, colon);
    const rest = input.slice(colon + 1);
    switch (scheme) {
      case "docker-image":
        try {
          return await this.#loadImage(target, rest.replace(/^\/\//, ""), options);
        } catch (error) {
          if (!(error instanceof NotAnImageError)) throw error;
          const converted = error.updated.replace(/^local:\/\//, "local:");
          return await this.#load({ ...target, input: converted, conversions: conversions + 1 }, options);
        }
      case "git":
      case "http":
      case "https":
        return { state: remoteContext(target), image: undefined };
      case "oci-layout":
        return await this.#loadLayout(target, rest.replace(/^\/\//, ""), options);
      case "local":
        return { state: await this.#loadLocal(target, rest, options), image: undefined };
      case "input":
        return await this.#loadInput(target, rest);
      default:
        throw invalid(`unsupported context source ${scheme} for ${key}`);
    }
  }

  async #loadImage(target: Target, reference: string, options: { readonly signal: AbortSignal }): Promise<Loaded> {
    if (reference === "scratch") return { state: scratch(), image: undefined };
    const { key, request } = target;
    const name = formatReference(withDefaultTag(parseReference(reference)));
    const resolved = await this.#client.resolveImage(
      name,
      {
        resolveMode: request.resolveMode,
        logName: `[context ${key}] load metadata for ${reference}`,
        ...(request.platform !== undefined && { platform: request.platform }),
      },
      options,
    );
    const config = parseImage(resolved.config);
    const state = image(resolved.ref, {
      customName: `[context ${key}] ${reference}`,
      ...(request.platform !== undefined && { platform: request.platform }),
    });
    delete config.created;
    return { state: withImageConfig(state, config), image: config };
  }

  async #loadLayout(target: Target, text: string, options: { readonly signal: AbortSignal }): Promise<Loaded> {
    const { key, name, request } = target;
    const at = text.indexOf("@");
    const digest = text.slice(at + 1);
    if (at < 0 || !isDigest(digest)) throw invalid(`oci-layout reference ${quote(text)} has no digest`);
    const store = text.slice(0, at).replace(/(?<=[^/]):[^/:]*$/, "");
    const reference = formatReference({ ...parseReference(name), digest });
    const { sessionId } = this.#client;
    const platform = request.platform === undefined ? {} : { platform: request.platform };
    const resolved = await this.#client.resolveImage(
      reference,
      {
        resolveMode: "",
        logName: `[context ${key}] load metadata for ${reference}`,
        store: { sessionId, storeId: store },
        ...platform,
      },
      options,
    );
    const config = parseImage(resolved.config);
    const state = ociLayout(reference, {
      customName: `[context ${key}] OCI load from client`,
      sessionId,
      storeId: store,
      ...platform,
    });
    return { state: withImageConfig(state, config), image: config };
  }

  async #loadLocal(target: Target, name: string, options: { readonly signal: AbortSignal }): Promise<State> {
    const { key, request } = target;
    const sessionId = this.#context.sessionFor(name);
    const ignoreFile = ".dockerignore";
    const definition = local(name, {
      sessionId,
      followPaths: [ignoreFile],
      sharedKeyHint: `context:${key}-${ignoreFile}`,
      customName: `[context ${key}] load ${ignoreFile}`,
      differ: { type: "none", required: false },
    }).marshal();
    const { ref } = await this.#client.solve({ definition, evaluate: true }, options);
    const data = await ref?.readFile(ignoreFile, options).catch(() => undefined);
    options.signal.throwIfAborted();
    const excludePatterns = data === undefined ? [] : readIgnoreFile(ignoreFile, data);
    const sharedKey = this.#client.options[`sharedkey:localdir:${key}`] ?? "";
    // Which files are wanted is known only when all stages are converted.
    return LateOutput.state(() => {
      const followPaths = request.followPaths();
      const { output } = local(name, {
        customName: `[context ${key}] load from client`,
        sessionId,
        sharedKeyHint: `context:${key}-${sharedKey}`,
        excludePatterns,
        ...(followPaths !== undefined && { followPaths }),
      });
      if (output === undefined) throw new TypeError("A local source has an output");
      return output;
    });
  }

  async #loadInput({ key }: Target, name: string): Promise<Loaded> {
    const definition = (await this.#client.inputs()).get(name);
    if (definition === undefined) throw invalid(`invalid input ${name} for ${key}`);
    const state = stateFromDefinition(definition);
    const metadata = this.#client.options[`input-metadata:${name}`];
    const config = metadata === undefined ? undefined : configFrom(metadata);
    return config === undefined
      ? { state, image: undefined }
      : { state: withImageConfig(state, config), image: config };
  }
}

function familiarName(reference: string): string {
  try {
    return formatFamiliar(parseReference(reference)).replace(/:latest$/, "");
  } catch (error) {
    throw prefixError(`invalid context name ${reference}`, error);
  }
}

function remoteContext({ input, key }: Target): State {
  const repository = parseGitRef(input);
  if (repository !== undefined) return gitContext(input, repository);
  if (!/^https?:\/\//.test(input)) throw invalid(`invalid git context ${input}`);
  return http(input, { filename: "context", customName: `[context ${key}] ${input}` });
}

function configFrom(metadata: string): ImageDraft | undefined {
  try {
    const value: unknown = JSON.parse(metadata);
    if (typeof value !== "object" || value === null || !("containerimage.config" in value)) return undefined;
    const encoded = value["containerimage.config"];
    return typeof encoded === "string" ? parseImage(Buffer.from(encoded, "base64")) : undefined;
  } catch (error) {
    throw prefixError(`failed to parse input metadata ${metadata}`, error);
  }
}

/** The state with what the image's config says of environment, directory and platform. */
function withImageConfig(state: State, { config, ...image }: ImageDraft): State {
  let configured = state;
  for (const entry of config.Env ?? []) {
    const [name, value] = splitVariable(entry);
    if (name !== "") configured = configured.addEnv(name, value);
  }
  configured = configured.dir(config.WorkingDir ?? "");
  if (!image.architecture || !image.os) return configured;
  const platform: Platform = {
    os: image.os,
    architecture: image.architecture,
    ...(image.variant && { variant: image.variant }),
    ...(image["os.version"] && { "os.version": image["os.version"] }),
    ...(image["os.features"] && { "os.features": image["os.features"] }),
  };
  return configured.platform(platform);
}
