import type { ClientHttp2Session } from "node:http2";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  LLBBridge,
  type PongResponse,
  type ResolveSourceMetaRequestSchema,
  type ResolveSourceMetaResponse,
  type Result,
  type ResultSchema,
  type SolveRequestSchema,
} from "@buildkit-ts/api/buildkit/gateway";
import type { Stat } from "@buildkit-ts/api/fsutil/stat";
import type { StatusSchema } from "@buildkit-ts/api/google/rpc/status";
import { callUnary, RpcError } from "@buildkit-ts/session/rpc";

const pingTimeoutMs = 15_000;

/** A running build as its own frontend sees it: what it can solve and look into before it returns a result. */
export class GatewayClient {
  readonly #connection: ClientHttp2Session;
  readonly #metadata: Readonly<Record<string, string>>;

  constructor(connection: ClientHttp2Session, buildRef: string) {
    this.#connection = connection;
    this.#metadata = { "buildkit-controlapi-buildid": buildRef };
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
