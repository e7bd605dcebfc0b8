import type { ClientHttp2Session } from "node:http2";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  type ExecMessageSchema,
  LLBBridge,
  type NewContainerRequestSchema,
  type PongResponse,
  type ResolveImageConfigRequestSchema,
  type ResolveImageConfigResponse,
  type ResolveSourceMetaRequestSchema,
  type ResolveSourceMetaResponse,
  type Result,
  type ResultSchema,
  type SolveRequestSchema,
  type WarnRequestSchema,
} from "@buildkit-ts/api/buildkit/gateway";
import type { Definition } from "@buildkit-ts/api/buildkit/ops";
import type { Stat } from "@buildkit-ts/api/fsutil/stat";
import type { StatusSchema } from "@buildkit-ts/api/google/rpc/status";
import { callUnary, DuplexCall, RpcError } from "@buildkit-ts/session/rpc";

const pingTimeoutMs = 15_000;

/** A path in one of a container's mounts. */
export interface ContainerFile {
  readonly container: string;
  readonly mount: number;
  readonly path: string;
}

/**
 * The calls of `LLBBridge`: a running build as its own frontend sees it.
 *
 * {@linkcode FrontendClient} is the more comfortable face of it.
 */
export class GatewayClient {
  readonly #connection: ClientHttp2Session;
  readonly #metadata: Readonly<Record<string, string>>;

  /** Without a `buildRef`, the connection is that of a frontend's container, which belongs to one build. */
  constructor(connection: ClientHttp2Session, buildRef?: string) {
    this.#connection = connection;
    this.#metadata = buildRef === undefined ? {} : { "buildkit-controlapi-buildid": buildRef };
  }

  /** What the daemon can do. Waits for the build to be registered. */
  async ping(options: { readonly signal: AbortSignal }): Promise<PongResponse> {
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(pingTimeoutMs)]);
    return await this.#call(LLBBridge.method.ping, {}, { signal });
  }

  async solve(
    request: MessageInitShape<typeof SolveRequestSchema>,
    options: { readonly signal: AbortSignal },
  ): Promise<Result> {
    const wanted = { allowResultReturn: true, allowResultArrayRef: true, ...request };
    const answer = await this.#call(LLBBridge.method.solve, wanted, options);
    if (answer.result === undefined) throw new RpcError("internal", "Cannot solve: the daemon returned no result");
    return answer.result;
  }

  async evaluate(ref: string, options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#call(LLBBridge.method.evaluate, { Ref: ref }, options);
  }

  async readFile(
    request: { readonly ref: string; readonly path: string; readonly offset?: number; readonly length?: number },
    options: { readonly signal: AbortSignal },
  ): Promise<Uint8Array> {
    const { offset, length } = request;
    const isPart = offset !== undefined || length !== undefined;
    const range = isPart ? { Offset: BigInt(offset ?? 0), Length: BigInt(length ?? 0) } : undefined;
    const message = { Ref: request.ref, FilePath: request.path, ...(range !== undefined && { Range: range }) };
    const answer = await this.#call(LLBBridge.method.readFile, message, options);
    return answer.Data;
  }

  async readDirectory(
    request: { readonly ref: string; readonly path: string; readonly includePattern?: string },
    options: { readonly signal: AbortSignal },
  ): Promise<readonly Stat[]> {
    const message = { Ref: request.ref, DirPath: request.path, IncludePattern: request.includePattern ?? "" };
    return (await this.#call(LLBBridge.method.readDir, message, options)).entries;
  }

  async stat(
    request: { readonly ref: string; readonly path: string },
    options: { readonly signal: AbortSignal },
  ): Promise<Stat | undefined> {
    return (await this.#call(LLBBridge.method.statFile, { Ref: request.ref, Path: request.path }, options)).stat;
  }

  async resolveSourceMetadata(
    request: MessageInitShape<typeof ResolveSourceMetaRequestSchema>,
    options: { readonly signal: AbortSignal },
  ): Promise<ResolveSourceMetaResponse> {
    return await this.#call(LLBBridge.method.resolveSourceMeta, request, options);
  }

  /** The call of old daemons for what {@linkcode resolveSourceMetadata} tells of images. */
  async resolveImageConfig(
    request: MessageInitShape<typeof ResolveImageConfigRequestSchema>,
    options: { readonly signal: AbortSignal },
  ): Promise<ResolveImageConfigResponse> {
    return await this.#call(LLBBridge.method.resolveImageConfig, request, options);
  }

  /** Definitions that the caller handed to the frontend, by name. */
  async inputs(options: { readonly signal: AbortSignal }): Promise<Readonly<Record<string, Definition>>> {
    return (await this.#call(LLBBridge.method.inputs, {}, options)).Definitions;
  }

  async warn(
    request: MessageInitShape<typeof WarnRequestSchema>,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#call(LLBBridge.method.warn, request, options);
  }

  async newContainer(
    request: MessageInitShape<typeof NewContainerRequestSchema>,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#call(LLBBridge.method.newContainer, request, options);
  }

  async releaseContainer(id: string, options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#call(LLBBridge.method.releaseContainer, { ContainerID: id }, options);
  }

  /** A file of one of a container's mounts, by the mount's index in the request for the container. */
  async readContainerFile(file: ContainerFile, options: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    const message = { Ref: file.container, FilePath: file.path, MountIndex: file.mount };
    return (await this.#call(LLBBridge.method.readFileContainer, message, options)).Data;
  }

  async readContainerDirectory(
    file: ContainerFile,
    options: { readonly signal: AbortSignal },
  ): Promise<readonly Stat[]> {
    const message = { Ref: file.container, DirPath: file.path, MountIndex: file.mount };
    return (await this.#call(LLBBridge.method.readDirContainer, message, options)).entries;
  }

  async statContainer(file: ContainerFile, options: { readonly signal: AbortSignal }): Promise<Stat | undefined> {
    const message = { Ref: file.container, Path: file.path, MountIndex: file.mount };
    return (await this.#call(LLBBridge.method.statFileContainer, message, options)).stat;
  }

  /** Opens the stream that a process of a container is started and steered by. */
  execProcess(options: {
    readonly signal: AbortSignal;
  }): DuplexCall<typeof ExecMessageSchema, typeof ExecMessageSchema> {
    return new DuplexCall(this.#connection, LLBBridge.method.execProcess, { ...options, metadata: this.#metadata });
  }

  /** Ends the build with a result, or with a failure. To be called once. */
  async finish(
    outcome:
      | { readonly result: MessageInitShape<typeof ResultSchema> }
      | { readonly error: MessageInitShape<typeof StatusSchema> },
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#call(LLBBridge.method.return, outcome, options);
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    options: { readonly signal: AbortSignal },
  ): Promise<MessageShape<O>> {
    return await callUnary(this.#connection, { method, request }, { ...options, metadata: this.#metadata });
  }
}
