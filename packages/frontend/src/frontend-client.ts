import type { PongResponse } from "@buildkit-ts/api/buildkit/gateway";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Definition, definitionFromProto, definitionToProto, platformFromProto } from "@buildkit-ts/llb";
import { type Digest, hostPlatform, type Platform } from "@buildkit-ts/oci";
import { type ContainerRequest, GatewayContainer } from "./container.ts";
import type { FrontendResult } from "./frontend.ts";
import type { GatewayClient } from "./gateway-client.ts";
import { type ImageRequest, type ResolvedImage, resolveImage } from "./resolve-image.ts";
import { type ResolvedSource, resolvedSource } from "./resolved-source.ts";
import { resultFromProto } from "./result-message.ts";
import { type Warning, warningToProto } from "./warning.ts";

/** A cache that a solve may import from. */
export interface CacheImport {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What to solve: a graph, or another frontend. */
export interface SolveRequest {
  readonly definition?: Definition;
  /** Such as `dockerfile.v0`, or `gateway.v0` with the option `source` for a frontend image. */
  readonly frontend?: string;
  readonly options?: Readonly<Record<string, string>>;
  readonly inputs?: ReadonlyMap<string, Definition>;
  readonly cacheImports?: readonly CacheImport[];
  /** Whether to build at once instead of when the result is needed. */
  readonly evaluate?: boolean;
}

/** What a frontend knows of the build that it is part of. */
export interface FrontendSetting {
  /** `filename`, `build-arg:…`, `context:…` and whatever else the user said. */
  readonly options: Readonly<Record<string, string>>;
  readonly sessionId: string;
  /** Name of the product that runs the frontend, if it says so. */
  readonly product: string;
}

/** The build as its frontend sees it: options, and what the daemon does for it. */
export class FrontendClient {
  readonly options: Readonly<Record<string, string>>;
  readonly sessionId: string;
  readonly product: string;
  /** Platforms of the worker, the default first. */
  readonly workerPlatforms: readonly Platform[];
  /** What graphs may use. */
  readonly llbCapabilities: ReadonlySet<string>;
  /** What frontends may ask. */
  readonly frontendCapabilities: ReadonlySet<string>;
  readonly #gateway: GatewayClient;
  #inputs: Promise<ReadonlyMap<string, Definition>> | undefined;

  private constructor(gateway: GatewayClient, setting: FrontendSetting, pong: PongResponse) {
    this.#gateway = gateway;
    this.options = setting.options;
    this.sessionId = setting.sessionId;
    this.product = setting.product;
    this.llbCapabilities = enabled(pong.LLBCaps);
    this.frontendCapabilities = enabled(pong.FrontendAPICaps);
    const [worker] = pong.Workers;
    const platforms = (worker?.platforms ?? []).flatMap((platform) => platformFromProto(platform) ?? []);
    this.workerPlatforms = platforms.length > 0 ? platforms : [hostPlatform()];
  }

  /** Asks the daemon what it can do. */
  static async open(
    gateway: GatewayClient,
    setting: FrontendSetting,
    options: { readonly signal: AbortSignal },
  ): Promise<FrontendClient> {
    return new FrontendClient(gateway, setting, await gateway.ping(options));
  }

  /** Definitions that the caller handed over, by name. They are asked for once. */
  async inputs(): Promise<ReadonlyMap<string, Definition>> {
    if (!this.frontendCapabilities.has("frontend.inputs")) return new Map();
    // Shared by all callers, so no caller's signal may end it; the connection's end does.
    this.#inputs ??= this.#gateway.inputs({ signal: new AbortController().signal }).then((inputs) => {
      return new Map(Object.entries(inputs).map(([name, definition]) => [name, definitionFromProto(definition)]));
    });
    return await this.#inputs;
  }

  /** Solves lazily: steps run when the result is looked into or exported. @throws {BuildError} with the daemon's code. */
  async solve(request: SolveRequest, options: { readonly signal: AbortSignal }): Promise<FrontendResult> {
    const { definition, inputs = new Map<string, Definition>() } = request;
    const message = {
      Frontend: request.frontend ?? "",
      FrontendOpt: { ...request.options },
      FrontendInputs: Object.fromEntries([...inputs].map(([name, input]) => [name, definitionToProto(input)])),
      CacheImports: (request.cacheImports ?? []).map(({ type, attributes }) => ({
        Type: type,
        Attrs: { ...attributes },
      })),
      Evaluate: request.evaluate ?? false,
      ...(definition !== undefined && { Definition: definitionToProto(definition) }),
    };
    return resultFromProto(this.#gateway, await this.#gateway.solve(message, options));
  }

  /** An image's digest and config, without its layers. */
  async resolveImage(
    reference: string,
    request: ImageRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<ResolvedImage> {
    const hasMetadata = this.frontendCapabilities.has("source.metaresolver");
    return await resolveImage(this.#gateway, { reference, ...request, hasMetadata }, options);
  }

  /** What is known of a git or HTTP source before it is fetched. @throws {BuildError} `unimplemented` by old daemons. */
  async resolveSource(
    source: { readonly identifier: string; readonly attributes: Readonly<Record<string, string>> },
    request: { readonly logName?: string },
    options: { readonly signal: AbortSignal },
  ): Promise<ResolvedSource> {
    const { identifier, attributes } = source;
    const answer = await this.#gateway.resolveSourceMetadata(
      {
        Source: { identifier, attrs: { ...attributes } },
        ResolveMode: "default",
        LogName: request.logName ?? "",
        ...(identifier.startsWith("git://") && { Git: { ReturnObject: true } }),
      },
      options,
    );
    return resolvedSource(answer);
  }

  /** Shows a warning with the step that it belongs to. Daemons without warnings are told nothing. */
  async warn(vertex: Digest, warning: Warning): Promise<void> {
    if (!this.frontendCapabilities.has("gateway.warnings")) return;
    await this.#gateway.warn(warningToProto(vertex, warning), { signal: AbortSignal.timeout(warnTimeoutMs) });
  }

  /** Makes a container of solved trees, in which processes can be run while the build goes on. */
  async openContainer(request: ContainerRequest, options: { readonly signal: AbortSignal }): Promise<GatewayContainer> {
    if (!this.frontendCapabilities.has("gateway.exec")) {
      throw new BuildError("unimplemented", "Cannot open container: the daemon runs none for frontends");
    }
    return await GatewayContainer.open(this.#gateway, request, options);
  }
}

const warnTimeoutMs = 15_000;

function enabled(caps: readonly { readonly ID: string; readonly Enabled: boolean }[]): ReadonlySet<string> {
  return new Set(caps.filter((cap) => cap.Enabled).map((cap) => cap.ID));
}
