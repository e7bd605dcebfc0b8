import type { Definition } from "@buildkit-ts/llb";
import { type OfflineOptions, withDefaults } from "../editor/offline-world.ts";
import { convert } from "./convert.ts";
import { encodeImage } from "./image-draft.ts";

/** What {@linkcode dockerfileToLlb} is given. */
export interface DockerfileToLlbOptions extends OfflineOptions {
  readonly dockerfile: Uint8Array;
}

/** A Dockerfile as a graph. */
export interface DockerfileToLlbResult {
  readonly definition: Definition;
  /** JSON of the image's config, without what only the exporter knows. */
  readonly image: Uint8Array;
  /** The base image's config; undefined for `scratch`. */
  readonly baseImage: Uint8Array | undefined;
}

/**
 * Converts a Dockerfile for one platform.
 *
 * How base images are found is `options.world.resolveImage`; without it, their configs are unknown, and the graph lacks what
 * they would have said: environment, user, working directory, triggers.
 */
export async function dockerfileToLlb(options: DockerfileToLlbOptions): Promise<DockerfileToLlbResult> {
  const { state, marshalOptions, image, baseImage } = await convert(options.dockerfile, withDefaults(options));
  return {
    definition: state.marshal(marshalOptions),
    image: encodeImage(image),
    baseImage: baseImage && encodeImage(baseImage),
  };
}
