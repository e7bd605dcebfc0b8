import { clone, create } from "@bufbuild/protobuf";
import { gatewaypb, opspb } from "@buildkit-ts/api";
import { BuildError, NotAnImageError } from "@buildkit-ts/errdefs";
import { platformFromProto } from "@buildkit-ts/llb";
import { type Digest, digestOf, formatPlatformAll, hostPlatform } from "@buildkit-ts/oci";
import type { ImageMaterial } from "@buildkit-ts/provenance";
import type { Job } from "@buildkit-ts/solver";
import type { MetadataRequest } from "@buildkit-ts/sources";
import type { BuildEngine } from "../engine.ts";
import type { SourcePolicy } from "../policy/source-policy.ts";
import { describeSource } from "../wire/source-metadata.ts";

/** An image as frontends ask for it. */
export interface ImageMetadata {
  /** The reference that was resolved, possibly another one by a policy. */
  readonly ref: string;
  readonly digest: Digest;
  readonly config: Uint8Array;
}

const algorithms = ["sha256", "sha384", "sha512"];

/** Answers what frontends and policies want to know of sources, as the build's policy allows it. */
export class SourceQueries {
  readonly #engine: BuildEngine;
  readonly #job: Job;
  readonly #policy: SourcePolicy;

  readonly #onImage: (image: ImageMaterial) => void;

  constructor(options: {
    readonly engine: BuildEngine;
    readonly job: Job;
    readonly policy: SourcePolicy;
    /** Hears of every image that a frontend asked about. */
    readonly onImage: (image: ImageMaterial) => void;
  }) {
    this.#engine = options.engine;
    this.#job = options.job;
    this.#policy = options.policy;
    this.#onImage = options.onImage;
  }

  /**
   * The answer, for the source that the policy made of the one that was asked for.
   *
   * @throws {BuildError} `permission_denied`, for a source that is not allowed.
   */
  async resolve(
    request: gatewaypb.ResolveSourceMetaRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<gatewaypb.ResolveSourceMetaResponse> {
    const answer = await this.#resolve(request, this.#policy, options);
    const { identifier = "" } = answer.Source ?? {};
    if (answer.Image !== undefined) {
      this.#onImage({
        ref: identifier.slice(identifier.indexOf("://") + 3),
        platform: platformFromProto(request.Platform),
        digest: answer.Image.Digest as Digest,
        local: !identifier.startsWith("docker-image://"),
      });
    }
    return answer;
  }

  /** What the build's policy makes of a source op, in place. */
  async evaluate(op: opspb.Op, policy: SourcePolicy, options: { readonly signal: AbortSignal }): Promise<boolean> {
    const { signal } = options;
    return await policy.evaluate(op, {
      signal,
      resolve: async (request) => await this.#resolve(request, this.#policy.withoutSession(), { signal }),
    });
  }

  /** @throws {NotAnImageError} if a policy made something else of the image. */
  async resolveImage(
    request: gatewaypb.ResolveSourceMetaRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<ImageMetadata> {
    const { Source, Image } = await this.resolve(request, options);
    const withoutScheme = (identifier = ""): string => identifier.slice(identifier.indexOf("://") + 3);
    const ref = withoutScheme(Source?.identifier);
    if (Image === undefined)
      throw new NotAnImageError(withoutScheme(request.Source?.identifier), Source?.identifier ?? "");
    return { ref, digest: Image.Digest as Digest, config: Image.Config };
  }

  async #resolve(
    request: gatewaypb.ResolveSourceMetaRequest,
    policy: SourcePolicy,
    options: { readonly signal: AbortSignal },
  ): Promise<gatewaypb.ResolveSourceMetaResponse> {
    if (request.Source === undefined) throw new BuildError("invalid_argument", "source is required");
    const source = clone(opspb.SourceOpSchema, request.Source);
    const op = create(opspb.OpSchema, {
      op: { case: "source", value: source },
      ...(request.Platform !== undefined && { platform: request.Platform }),
    });
    try {
      await this.evaluate(op, policy.with(request.SourcePolicies), options);
    } catch (error) {
      options.signal.throwIfAborted();
      const { code, message } = BuildError.from(error);
      throw new BuildError(code, `could not resolve image due to policy: ${message}`, { cause: error });
    }
    return await this.#describe(source, request, options);
  }

  async #describe(
    source: opspb.SourceOp,
    request: gatewaypb.ResolveSourceMetaRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<gatewaypb.ResolveSourceMetaResponse> {
    const name = request.LogName === "" ? `resolve image config for ${source.identifier}` : request.LogName;
    const platform = platformFromProto(request.Platform) ?? this.#engine.worker.platforms()[0] ?? hostPlatform();
    const query = { identifier: source.identifier, attributes: source.attrs, platform };
    const digest = digestOf(`${name}:${source.identifier}${formatPlatformAll(platform)}`);
    const metadata = await this.#job.inVertex(
      name,
      async (context) => await this.#engine.resolveSource(query, readRequest(request), context),
      { ...options, digest },
    );
    return describeSource(source, metadata, request);
  }
}

function readRequest(request: gatewaypb.ResolveSourceMetaRequest): MetadataRequest {
  const { Image, Git, HTTP } = request;
  const asked = HTTP?.ChecksumRequest;
  return {
    resolveMode: request.ResolveMode,
    attestationChain: Image?.AttestationChain ?? false,
    predicateTypes: Image?.ResolveAttestations ?? [],
    gitObjects: Git?.ReturnObject ?? false,
    checksum:
      asked === undefined
        ? undefined
        : { algorithm: algorithms[asked.Algo] ?? String(asked.Algo), suffix: asked.Suffix },
  };
}
