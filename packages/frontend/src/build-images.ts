import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson } from "@buildkit-ts/gotext";
import type { State } from "@buildkit-ts/llb";
import { formatPlatformAll, type ImageConfig, normalizePlatform, type Platform, parsePlatform } from "@buildkit-ts/oci";
import type { FrontendResult } from "./frontend.ts";
import type { CacheImport, FrontendClient } from "./frontend-client.ts";
import type { Reference } from "./reference.ts";

/** An image for one platform: its files, and how to run it. Layers, times and history are the exporter's. */
export interface ImageBuild {
  readonly state: State;
  readonly config: ImageConfig;
}

/** The platforms that the user wants (`platform`), else the worker's own. */
export function targetPlatforms(client: FrontendClient): readonly Platform[] {
  const wanted = (client.options["platform"] ?? "").split(",").filter((text) => text !== "");
  return wanted.length > 0 ? wanted.map((text) => parsePlatform(text)) : client.workerPlatforms.slice(0, 1);
}

/**
 * Builds an image for each platform that the user wants, side by side, and puts them together as exporters expect it:
 * one ref, or one for each platform if there are several or `multi-platform` says so.
 */
export async function buildImages(
  client: FrontendClient,
  build: (platform: Platform, options: { readonly signal: AbortSignal }) => Promise<ImageBuild>,
  options: { readonly signal: AbortSignal },
): Promise<FrontendResult> {
  const platforms = targetPlatforms(client).map((platform) => normalizePlatform(platform));
  const isMulti = platforms.length > 1 || client.options["multi-platform"] === "true";
  const cacheImports = readCacheImports(client.options["cache-imports"]);
  const built = await Promise.all(
    platforms.map(async (platform) => {
      const { state, config } = await build(platform, options);
      const definition = state.marshal({ platform });
      const { ref } = await client.solve({ definition, cacheImports }, options);
      return { id: formatPlatformAll(platform), platform, config: withPlatform(config, platform), ref };
    }),
  );
  const metadata = new Map<string, Uint8Array>();
  const refs = new Map<string, Reference | undefined>();
  for (const { id, config, ref } of built) {
    if (isMulti) refs.set(id, ref);
    metadata.set(`containerimage.config${isMulti ? `/${id}` : ""}`, encodeJson(config));
  }
  const Platforms = built.map(({ id, platform }) => ({ ID: id, Platform: platform }));
  metadata.set("refs.platforms", encodeJson({ Platforms }));
  return { ref: isMulti ? undefined : built[0]?.ref, refs, metadata };
}

function withPlatform(config: ImageConfig, { os, architecture, variant }: Platform): ImageConfig {
  return { ...config, os, architecture, ...(variant !== undefined && { variant }) };
}

function encodeJson(value: object): Uint8Array {
  return new TextEncoder().encode(formatGoJson(value));
}

/**
 * The caches that the client wants solves to import from, as it hands them over in `cache-imports`.
 *
 * @throws {BuildError} `invalid_argument`, for what is no list of them.
 */
export function readCacheImports(text: string | undefined): readonly CacheImport[] {
  if (text === undefined || text === "") return [];
  try {
    const entries = JSON.parse(text) as readonly { readonly Type: string; readonly Attrs?: Record<string, string> }[];
    return entries.map(({ Type, Attrs = {} }) => ({ type: Type, attributes: Attrs }));
  } catch (cause) {
    throw new BuildError("invalid_argument", "failed to parse cache-imports", { cause });
  }
}
