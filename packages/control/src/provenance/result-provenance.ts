import { BuildError } from "@buildkit-ts/errdefs";
import { type ResultPlatform, resultPlatforms } from "@buildkit-ts/exporters";
import { platformDistance } from "@buildkit-ts/oci";
import type { Capture, ConfigSource, ImageMaterial, RequestParameters } from "@buildkit-ts/provenance";
import type { Job } from "@buildkit-ts/solver";
import { type BridgeRef, type BridgeResult, refsOf } from "../bridge/bridge-ref.ts";
import { captureRefs } from "./capture-refs.ts";
import { describeTracedRequest } from "./describe-request.ts";
import type { RequestRegistry } from "./request-registry.ts";
import type { RequestTrace } from "./request-trace.ts";

/** How one tree of a result came to be. */
export interface RefProvenance {
  readonly ref: BridgeRef;
  readonly capture: Capture;
  readonly configSource: ConfigSource;
  readonly request: RequestParameters;
}

/** How the trees of a build's result came to be. The result must have been built, and the build's job still be there. */
export class ResultProvenance {
  readonly platforms: readonly ResultPlatform[];
  readonly #result: BridgeResult;
  readonly #trace: RequestTrace;
  readonly #registry: RequestRegistry;
  readonly #job: Job;
  readonly #described = new Map<BridgeRef, RefProvenance>();

  constructor(
    result: BridgeResult,
    options: { readonly job: Job; readonly trace: RequestTrace; readonly registry: RequestRegistry },
  ) {
    this.platforms = resultPlatforms(result.metadata);
    this.#result = result;
    this.#trace = options.trace;
    this.#registry = options.registry;
    this.#job = options.job;
  }

  /** For a platform of the result, by its id; undefined for `scratch`. */
  find(id: string): RefProvenance | undefined {
    const { ref, refs } = this.#result;
    if (refs === undefined) return this.#of(ref, undefined);
    // A map of one is the result for whatever it was asked for.
    const only = refs.size === 1 ? [...refs.keys()][0] : undefined;
    const key = refs.has(id) ? id : only;
    if (key === undefined)
      throw new BuildError("invalid_argument", `no build info found for provenance ${id.slice(0, 200)}`);
    return this.#of(refs.get(key), key);
  }

  /** For each tree of the result that is not empty, with its key in a map of platforms. */
  all(): { readonly platform: string | undefined; readonly described: RefProvenance }[] {
    const { ref, refs } = this.#result;
    const trees = refs === undefined ? [[undefined, ref] as const] : [...refs];
    return trees.flatMap(([platform, tree]) => {
      const described = this.#of(tree, platform);
      return described === undefined ? [] : [{ platform, described }];
    });
  }

  #of(ref: BridgeRef | undefined, platform: string | undefined): RefProvenance | undefined {
    if (ref?.built === undefined) return undefined;
    let described = this.#described.get(ref);
    if (described === undefined) this.#described.set(ref, (described = this.#describe(ref, platform)));
    return described;
  }

  #describe(ref: BridgeRef, platform: string | undefined): RefProvenance {
    const trace = this.#trace.find(ref);
    if (trace === undefined) throw new BuildError("internal", `could not find request for ref ${ref.id}`);
    const results = new Set(refsOf(this.#result));
    // What was looked at on the way, such as the Dockerfile's directory, went into the result as well.
    const others = [...trace.refs()].filter((other) => !results.has(other));
    const capture = captureRefs([ref, ...others], this.#job);
    const asked = [...trace.images()];
    for (const image of platform === undefined ? asked : this.#ofPlatform(asked, platform)) capture.addImage(image);
    const described = describeTracedRequest(trace, { materials: () => capture, registry: this.#registry });
    return { ref, capture, configSource: described?.configSource ?? {}, request: described?.request ?? {} };
  }

  /** Leaves out the images of other platforms, where each platform has its own of the name. */
  #ofPlatform(images: readonly ImageMaterial[], id: string): ImageMaterial[] {
    const current = this.platforms.find((platform) => platform.id === id)?.platform;
    const isForAll = (name: string): boolean =>
      this.platforms.every(({ platform }) =>
        images.some(
          (other) =>
            other.ref === name &&
            other.platform !== undefined &&
            platformDistance(platform, other.platform) !== undefined,
        ),
      );
    return images.filter(
      ({ ref, platform }) =>
        platform === undefined ||
        (platform.os === current?.os && platform.architecture === current.architecture) ||
        !isForAll(ref),
    );
  }
}
