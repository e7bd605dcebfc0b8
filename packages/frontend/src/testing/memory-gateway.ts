import { connect } from "node:http2";
import { duplexPair } from "node:stream";
import { create, fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import {
  LLBBridge,
  RefSchema,
  type ReturnRequest,
  type SolveRequest,
  type WarnRequest,
} from "@buildkit-ts/api/buildkit/gateway";
import { BuildError } from "@buildkit-ts/errdefs";
import { RpcServer } from "@buildkit-ts/session/rpc";
import { GatewayClient } from "../gateway-client.ts";

/** What a {@linkcode MemoryGateway} knows and can do. */
export interface MemoryGatewayOptions {
  /** Files by the name of their local directory and their path. */
  readonly locals?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Image configs by reference. */
  readonly images?: Readonly<Record<string, string>>;
  /** What it says it can do; everything of these tests by default. */
  readonly capabilities?: readonly string[];
  /** Serves further calls. */
  readonly extend?: (server: RpcServer) => void;
}

const everything = ["proto.refarray", "frontend.inputs", "gateway.warnings", "gateway.exec", "source.metaresolver"];

/**
 * The daemon's end of a frontend's connection, without a daemon: real HTTP/2 and gRPC, and files from memory.
 *
 * It records what it is asked. Disposal ends the connection.
 */
export class MemoryGateway implements AsyncDisposable {
  readonly client: GatewayClient;
  readonly solves: SolveRequest[] = [];
  readonly warnings: WarnRequest[] = [];
  readonly returned: ReturnRequest[] = [];
  readonly #options: MemoryGatewayOptions;
  readonly #ended = new AbortController();
  readonly #served: Promise<void>;
  /** Files of the refs that were given out, by id. */
  readonly #trees = new Map<string, Readonly<Record<string, string>>>();

  constructor(options: MemoryGatewayOptions = {}) {
    this.#options = options;
    const [daemonEnd, frontendEnd] = duplexPair();
    this.#served = this.#server().serve(daemonEnd, { signal: this.#ended.signal });
    const connection = connect("http://localhost", { createConnection: () => frontendEnd });
    connection.on("error", () => undefined);
    this.client = new GatewayClient(connection);
  }

  #server(): RpcServer {
    const server = new RpcServer();
    const { method } = LLBBridge;
    server.handleUnary(method.ping, async () => ({
      FrontendAPICaps: (this.#options.capabilities ?? everything).map((ID) => ({ ID, Enabled: true })),
      LLBCaps: [{ ID: "file.base", Enabled: true }],
      Workers: [{ platforms: [{ OS: "linux", Architecture: "amd64" }] }],
    }));
    server.handleUnary(method.solve, async (request) => {
      this.solves.push(request);
      const id = `ref${this.solves.length}`;
      this.#trees.set(id, this.#options.locals?.[localName(request.Definition)] ?? {});
      const value = create(RefSchema, { id, ...(request.Definition !== undefined && { def: request.Definition }) });
      return { result: { result: { case: "ref" as const, value } } };
    });
    server.handleUnary(method.readFile, async ({ Ref, FilePath }) => {
      const text = this.#trees.get(Ref)?.[FilePath];
      if (text === undefined) throw new BuildError("not_found", `open ${FilePath}: no such file or directory`);
      return { Data: Buffer.from(text) };
    });
    server.handleUnary(method.resolveSourceMeta, async ({ Source }) => {
      const config = this.#options.images?.[Source?.identifier.replace("docker-image://", "") ?? ""];
      if (config === undefined) throw new BuildError("not_found", `${Source?.identifier}: not found`);
      return { Source, Image: { Digest: `sha256:${"0".repeat(64)}`, Config: Buffer.from(config) } };
    });
    server.handleUnary(method.inputs, async () => ({}));
    server.handleUnary(method.warn, async (request) => {
      this.warnings.push(request);
      return {};
    });
    server.handleUnary(method.return, async (request) => {
      this.returned.push(request);
      return {};
    });
    this.#options.extend?.(server);
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new DOMException("The test is over", "AbortError"));
    await this.#served;
  }
}

function localName(definition: opspb.Definition | undefined): string {
  const [first] = definition?.def ?? [];
  const op = first && fromBinary(opspb.OpSchema, first).op;
  return op?.case === "source" ? op.value.identifier.replace("local://", "") : "";
}
