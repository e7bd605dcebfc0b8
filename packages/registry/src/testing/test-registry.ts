import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as faults see it. */
export interface TestRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

/** What goes wrong with a request instead of, or while, it is answered. */
export type Fault =
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** Breaks the connection after so many bytes of the answer's body; 0 is before any answer. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Takes about half of an upload's bytes, and breaks the connection. */
  | { readonly kind: "half received" }
  /** Answers with these bytes instead of the right ones. */
  | { readonly kind: "garbage"; readonly body: string };

export interface TestRegistryOptions {
  /** Users and passwords; with it every request must be authorised. */
  readonly users?: Readonly<Record<string, string>>;
  /** How users show who they are; default bearer tokens. */
  readonly scheme?: "bearer" | "basic";
  /** Identity tokens that are accepted in place of a password. */
  readonly identityTokens?: readonly string[];
  /** Whether pulling is allowed to everybody, with an anonymous token; default false. */
  readonly publicPull?: boolean;
  readonly tokenExpirySeconds?: number;
}

interface StoredManifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/**
 * A registry that keeps its content in memory, served by a real HTTP server on the loopback interface, and that fails
 * when told so.
 */
export class TestRegistry implements AsyncDisposable {
  readonly #options: TestRegistryOptions;
  readonly #server: Server;
  readonly #blobs = new Map<string, Map<string, Buffer>>();
  readonly #manifests = new Map<string, Map<string, StoredManifest>>();
  /** What came of each upload so far. */
  readonly #uploads = new Map<string, Buffer>();
  readonly #tokens = new Map<string, readonly string[]>();
  readonly #faults: { readonly matches: (request: TestRequest) => boolean; readonly fault: Fault; left: number }[] = [];
  /** All requests so far, faulty ones included. */
  readonly requests: TestRequest[] = [];

  private constructor(options: TestRegistryOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) =>
        response.destroy(error instanceof Error ? error : undefined),
      );
    });
  }

  static async start(options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const registry = new TestRegistry(options);
    await new Promise<void>((resolve, reject) => {
      registry.#server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    return registry;
  }

  /** `127.0.0.1:port`, as in references. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Makes the next `times` (default 1) matching requests fail. */
  fail(matches: (request: TestRequest) => boolean, fault: Fault, times = 1): void {
    this.#faults.push({ matches, fault, left: times });
  }

  /** Forgets the failures that are still to come. */
  clearFaults(): void {
    this.#faults.length = 0;
  }

  putBlob(repository: string, bytes: Uint8Array): string {
    const digest = digestOf(bytes);
    entry(this.#blobs, repository).set(digest, Buffer.from(bytes));
    return digest;
  }

  blob(repository: string, digest: string): Buffer | undefined {
    return this.#blobs.get(repository)?.get(digest);
  }

  /** Stores a manifest under its digest, and under a tag if one is given. */
  putManifest(repository: string, manifest: StoredManifest, tag?: string): string {
    const digest = digestOf(manifest.bytes);
    const stored = entry(this.#manifests, repository);
    stored.set(digest, manifest);
    if (tag !== undefined) stored.set(tag, manifest);
    return digest;
  }

  manifest(repository: string, tagOrDigest: string): StoredManifest | undefined {
    return this.#manifests.get(repository)?.get(tagOrDigest);
  }

  /** Makes all tokens that were given out invalid. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const seen = { method: request.method ?? "", path: request.url ?? "", headers: request.headers };
    this.requests.push(seen);
    const fault = this.#takeFault(seen);
    if (fault?.kind === "half received") return await this.#takeHalf(request);
    if (fault !== undefined && failAtOnce(request, response, fault)) return;
    const body = await readBody(request);
    const url = new URL(seen.path, "http://registry.invalid");
    if (url.pathname === "/token") return this.#giveToken(request, response, { url, body });
    if (this.#refuses(request, response, url)) return;
    this.#route({ request, response, url, body, cutAfter: fault?.kind === "cut" ? fault.afterBytes : undefined });
  }

  async #takeHalf(request: IncomingMessage): Promise<void> {
    const [, id = ""] = /\/uploads\/([^?]+)/.exec(request.url ?? "") ?? [];
    const half = Number(request.headers["content-length"] ?? "0") >> 1;
    let taken = this.#uploads.get(id) ?? Buffer.alloc(0);
    const before = taken.length;
    for await (const chunk of request) {
      taken = Buffer.concat([taken, chunk as Buffer]);
      if (taken.length >= before + half) break;
    }
    this.#uploads.set(id, taken.subarray(0, before + half));
    request.socket.resetAndDestroy();
  }

  #takeFault(request: TestRequest): Fault | undefined {
    const planned = this.#faults.find(({ matches, left }) => left > 0 && matches(request));
    if (planned !== undefined) planned.left -= 1;
    return planned?.fault;
  }

  #route(call: Call): void {
    const [, repository = "", kind = "", object = ""] =
      /^\/v2\/(.+)\/(manifests|blobs\/uploads|blobs)\/([^/]*)$/.exec(call.url.pathname) ?? [];
    if (call.url.pathname === "/v2/") reply(call.response, 200, {});
    else if (kind === "manifests") this.#serveManifest(call, repository, object);
    else if (kind === "blobs")
      serveBytes(call, this.blob(repository, object), {
        "content-type": "application/octet-stream",
        "docker-content-digest": object,
      });
    else if (kind === "blobs/uploads") this.#serveUpload(call, repository, object);
    else replyError(call.response, 404, "NAME_UNKNOWN");
  }

  #serveManifest(call: Call, repository: string, object: string): void {
    const { request, response, body } = call;
    if (request.method === "PUT") {
      const mediaType = request.headers["content-type"] ?? "";
      const digest = this.putManifest(
        repository,
        { mediaType, bytes: body },
        object.includes(":") ? undefined : object,
      );
      return reply(response, 201, { headers: { "docker-content-digest": digest } });
    }
    const manifest = this.manifest(repository, object);
    const headers = manifest && {
      "content-type": manifest.mediaType,
      "docker-content-digest": digestOf(manifest.bytes),
    };
    serveBytes(call, manifest?.bytes, headers ?? {});
  }

  #serveUpload(call: Call, repository: string, id: string): void {
    const { request, response, url } = call;
    const digest = url.searchParams.get("digest");
    if (request.method === "POST") {
      const [mount, from] = [url.searchParams.get("mount"), url.searchParams.get("from")];
      const existing = mount === null || from === null ? undefined : this.blob(from, mount);
      if (existing !== undefined)
        return reply(response, 201, { headers: { "docker-content-digest": this.putBlob(repository, existing) } });
      const upload = randomUUID();
      this.#uploads.set(upload, Buffer.alloc(0));
      return reply(response, 202, { headers: { location: `/v2/${repository}/blobs/uploads/${upload}?_state=x` } });
    }
    const known = this.#uploads.get(id);
    if (known === undefined) return replyError(response, 404, "BLOB_UPLOAD_UNKNOWN");
    const state = {
      location: `/v2/${repository}/blobs/uploads/${id}?_state=y`,
      range: `0-${Math.max(known.length - 1, 0)}`,
    };
    if (request.method === "GET") return reply(response, 204, { headers: state });
    if (request.method === "PATCH") {
      const [, start] = /^(\d+)-\d+$/.exec(request.headers["content-range"] ?? "") ?? [];
      if (start !== String(known.length)) return reply(response, 416, { headers: state });
      this.#uploads.set(id, Buffer.concat([known, call.body]));
      return reply(response, 202, { headers: { location: state.location } });
    }
    this.#uploads.delete(id);
    const body = Buffer.concat([known, call.body]);
    if (digest !== digestOf(body)) return replyError(response, 400, "DIGEST_INVALID");
    reply(response, 201, { headers: { "docker-content-digest": this.putBlob(repository, body) } });
  }

  /** Answers with a challenge where a request is not authorised. */
  #refuses(request: IncomingMessage, response: ServerResponse, url: URL): boolean {
    const { users, scheme = "bearer" } = this.#options;
    if (users === undefined) return false;
    const { authorization = "" } = request.headers;
    if (scheme === "basic") {
      if (this.#isUser(authorization)) return false;
      reply(response, 401, { headers: { "www-authenticate": 'Basic realm="test"' } });
      return true;
    }
    const repository = /^\/v2\/(.+?)\/(?:manifests|blobs)\//.exec(url.pathname)?.[1] ?? "";
    const action = request.method === "GET" || request.method === "HEAD" ? "pull" : "push";
    const granted = this.#tokens.get(authorization.replace(/^Bearer /, ""));
    if (granted?.includes(`${repository}:${action}`) === true) return false;
    const error =
      authorization === "" ? "" : `,error="${granted === undefined ? "invalid_token" : "insufficient_scope"}"`;
    const challenge = `Bearer realm="http://${this.host}/token",service="test",scope="repository:${repository}:${action}"${error}`;
    reply(response, 401, { headers: { "www-authenticate": challenge } });
    return true;
  }

  #giveToken(
    request: IncomingMessage,
    response: ServerResponse,
    call: { readonly url: URL; readonly body: Buffer },
  ): void {
    const form = new URLSearchParams(call.body.toString());
    const refresh = form.get("refresh_token");
    const isKnown =
      request.method === "POST"
        ? refresh !== null && (this.#options.identityTokens ?? []).includes(refresh)
        : this.#isUser(request.headers.authorization ?? "");
    const claimsUser = request.headers.authorization !== undefined || request.method === "POST";
    if (claimsUser && !isKnown) return replyError(response, 401, "UNAUTHORIZED");
    const scopes =
      request.method === "POST" ? (form.get("scope") ?? "").split(" ") : call.url.searchParams.getAll("scope");
    const granted = scopes.flatMap((scope) => {
      const [, name = "", actions = ""] = /^repository:(.+):([^:]*)$/.exec(scope) ?? [];
      return actions
        .split(",")
        .flatMap((action) =>
          isKnown || (action === "pull" && this.#options.publicPull === true) ? [`${name}:${action}`] : [],
        );
    });
    const token = randomUUID();
    this.#tokens.set(token, granted);
    const expires_in = this.#options.tokenExpirySeconds ?? 300;
    reply(response, 200, {
      body: JSON.stringify(request.method === "POST" ? { access_token: token, expires_in } : { token, expires_in }),
    });
  }

  #isUser(authorization: string): boolean {
    const [name = "", ...password] = Buffer.from(authorization.replace(/^Basic /, ""), "base64")
      .toString()
      .split(":");
    const { users = {} } = this.#options;
    return Object.hasOwn(users, name) && users[name] === password.join(":");
  }
}

/** False for faults that only show while a good answer is sent. */
function failAtOnce(request: IncomingMessage, response: ServerResponse, fault: Fault): boolean {
  if (fault.kind === "status") reply(response, fault.status, { headers: fault.headers ?? {}, body: fault.body ?? "" });
  else if (fault.kind === "garbage") reply(response, 200, { body: fault.body });
  else if (fault.kind === "cut" && fault.afterBytes === 0) request.socket.destroy();
  else return false;
  return true;
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly body: Buffer;
  readonly cutAfter: number | undefined;
}

function serveBytes(
  { request, response, cutAfter }: Call,
  bytes: Buffer | undefined,
  headers: Record<string, string>,
): void {
  if (bytes === undefined) return replyError(response, 404, "NOT_FOUND");
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const part = bytes.subarray(from);
  const range = from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
  response.writeHead(from > 0 ? 206 : 200, { ...headers, ...range, "content-length": part.length });
  if (request.method === "HEAD") return void response.end();
  if (cutAfter === undefined) return void response.end(part);
  response.write(part.subarray(0, cutAfter), () => request.socket.destroy());
}

function reply(
  response: ServerResponse,
  status: number,
  answer: { readonly headers?: Record<string, string>; readonly body?: string },
): void {
  const { body = "" } = answer;
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...answer.headers }).end(body);
}

function replyError(response: ServerResponse, status: number, code: string): void {
  reply(response, status, { body: JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] }) });
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function entry<V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const found = map.get(key) ?? new Map<string, V>();
  map.set(key, found);
  return found;
}
