import type { Definition } from "@buildkit-ts/llb";
import { hostPlatform } from "@buildkit-ts/oci";
import { convert } from "./convert.ts";
import { type ConvertSettings, type ConvertWorld, defaultSettings } from "./convert-options.ts";
import { encodeImage } from "./image-draft.ts";

/** What {@linkcode dockerfileToLlb} is given. */
export interface DockerfileToLlbOptions {
  readonly dockerfile: Uint8Array;
  /** How base images are found; everything else of the world has a default. */
  readonly world: Pick<ConvertWorld, "resolveImage"> & Partial<ConvertWorld>;
  readonly settings?: Partial<ConvertSettings>;
  readonly signal: AbortSignal;
}

/** A Dockerfile as a graph. */
export interface DockerfileToLlbResult {
  readonly definition: Definition;
  /** JSON of the image's config, without what only the exporter knows. */
  readonly image: Uint8Array;
  /** The base image's config; undefined for `scratch`. */
  readonly baseImage: Uint8Array | undefined;
}

/** Converts a Dockerfile for one platform, with the host's platform and all of a daemon's capabilities by default. */
export async function dockerfileToLlb(options: DockerfileToLlbOptions): Promise<DockerfileToLlbResult> {
  const { dockerfile, signal } = options;
  const settings = { ...defaultSettings, buildPlatforms: [hostPlatform()], ...options.settings };
  const world = { supports: () => true, ...options.world };
  const { state, marshalOptions, image, baseImage } = await convert(dockerfile, { settings, world, signal });
  return {
    definition: state.marshal(marshalOptions),
    image: encodeImage(image),
    baseImage: baseImage && encodeImage(baseImage),
  };
}
