import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { digestOf } from "@buildkit-ts/oci";
import { TestRegistry } from "@buildkit-ts/registry/testing";

/** A registry of which the next request that matches never gets its (whole) answer. */
export class StallingRegistry implements AsyncDisposable {
  readonly registry: TestRegistry;
  readonly #server: Server;
  #stall: { readonly matches: (request: IncomingMessage) => boolean; readonly reached: () => void } | undefined;

  private constructor(registry: TestRegistry) {
    this.registry = registry;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<StallingRegistry> {
    const stalling = new StallingRegistry(await TestRegistry.start());
    await new Promise<void>((resolve) => stalling.#server.listen(0, "127.0.0.1", resolve));
    return stalling;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Stalls the next matching request. @returns when it came. */
  stall(matches: (request: IncomingMessage) => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stall = { matches, reached: resolve };
    return promise;
  }

  /** Lets all requests through. */
  release(): void {
    this.#stall = undefined;
  }

  /** Stores an image of one layer. @returns its name here. */
  putImage(repository: string, tar: Uint8Array): string {
    const layer = gzipSync(tar);
    const config = Buffer.from(
      JSON.stringify({
        architecture: process.arch === "x64" ? "amd64" : process.arch,
        os: "linux",
        config: { Env: ["PATH=/bin"] },
        rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
      }),
    );
    const manifest = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)],
    };
    this.registry.putBlob(repository, layer);
    this.registry.putBlob(repository, config);
    const bytes = Buffer.from(JSON.stringify(manifest));
    this.registry.putManifest(repository, { mediaType: manifest.mediaType, bytes }, "latest");
    return `${this.host}/${repository}:latest`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const stall = this.#stall;
    const stalls = stall?.matches(request) ?? false;
    if (stalls && request.method !== "GET") {
      stall?.reached();
      return;
    }
    const answer = await this.#forward(request);
    const body = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, headersOf(answer, body.length, request.method ?? ""));
    if (!stalls) {
      response.end(body);
      return;
    }
    response.write(body.subarray(0, body.length / 2));
    stall?.reached();
  }

  async #forward(request: IncomingMessage): Promise<Response> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const { host: _host, connection: _connection, "transfer-encoding": _coding, ...headers } = request.headers;
    const body = ["GET", "HEAD"].includes(request.method ?? "") ? null : Buffer.concat(chunks);
    return await fetch(`http://${this.registry.host}${request.url}`, {
      method: request.method ?? "GET",
      headers: Object.entries(headers).map(([name, value]) => [name, String(value)] as [string, string]),
      body,
      redirect: "manual",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    await this.registry[Symbol.asyncDispose]();
  }
}

function descriptor(mediaType: string, bytes: Uint8Array): object {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function headersOf(answer: Response, length: number, method: string): Record<string, string> {
  const headers = Object.fromEntries(answer.headers);
  delete headers["transfer-encoding"];
  delete headers["connection"];
  return method === "HEAD" ? headers : { ...headers, "content-length": String(length) };
}
