import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pushBaseImage } from "../e2e/support/base-image.ts";
import { TestDaemon } from "../e2e/support/daemon.ts";
import { gitIn, HttpGitServer, makeRepository } from "../e2e/support/git-servers.ts";
import { type RunResult, temporaryFolder } from "../e2e/support/processes.ts";
import { TestRegistry } from "../e2e/support/registry.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { archiveOf } from "./fresh-image.ts";

/** All servers that a build can depend on, each behind a proxy that can break what passes, and a daemon. */
export class FaultWorld implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly folder: string;
  readonly daemon: TestDaemon;
  /** In front of a registry, which has `library/busybox`. */
  readonly registry: FaultProxy;
  /** Of the same registry, where nothing is broken. */
  readonly upstreamHost: string;
  /** The git repository `whole.git`. */
  readonly repository: string;
  /** In front of git's smart HTTP. */
  readonly git: FaultProxy;
  /** In front of a server of files, with ranges and ETags. */
  readonly files: FaultProxy;
  /** What contexts have as `noise`: nothing makes it smaller. */
  readonly noise: Buffer = randomBytes(3 << 20);
  #runs = 0;

  private constructor(parts: {
    readonly stack: AsyncDisposableStack;
    readonly folder: string;
    readonly daemon: TestDaemon;
    readonly registry: FaultProxy;
    readonly upstreamHost: string;
    readonly repository: string;
    readonly git: FaultProxy;
    readonly files: FaultProxy;
  }) {
    this.#stack = parts.stack;
    this.folder = parts.folder;
    this.daemon = parts.daemon;
    this.registry = parts.registry;
    this.upstreamHost = parts.upstreamHost;
    this.repository = parts.repository;
    this.git = parts.git;
    this.files = parts.files;
  }

  static async open(): Promise<FaultWorld> {
    await using stack = new AsyncDisposableStack();
    const temporary = temporaryFolder("faults");
    stack.defer(() => temporary[Symbol.dispose]());
    const folder = temporary.path;
    const upstream = stack.use(await TestRegistry.start(folder));
    await pushBaseImage(folder, upstream.host);
    const repositories = join(folder, "repositories");
    makeRepository(join(repositories, "part.git"), { "part.txt": "of a submodule\n" });
    makeRepository(join(repositories, "whole.git"), { "in-git.txt": "from git\n", big: "b".repeat(100_000) });
    gitIn(join(repositories, "whole.git"), "submodule", "add", "-q", "../part.git", "part");
    gitIn(join(repositories, "whole.git"), "commit", "-q", "-m", "part");
    const gitServer = stack.use(await HttpGitServer.start(repositories));
    const fileServer = await serveFiles();
    stack.defer(async () => {
      fileServer.closeAllConnections();
      await new Promise<void>((resolve) => fileServer.close(() => resolve()));
    });
    const registry = stack.use(await FaultProxy.start(`http://${upstream.host}`));
    const git = stack.use(await FaultProxy.start(gitServer.url));
    const { port } = fileServer.address() as AddressInfo;
    const files = stack.use(await FaultProxy.start(`http://127.0.0.1:${port}`));
    const daemon = stack.use(await TestDaemon.start(folder));
    const repository = join(repositories, "whole.git");
    const { host: upstreamHost } = upstream;
    return new FaultWorld({ stack: stack.move(), folder, daemon, registry, upstreamHost, repository, git, files });
  }

  /** Lets everything pass. */
  calm(): void {
    for (const proxy of [this.registry, this.git, this.files]) proxy.use(() => undefined);
  }

  /** A name that no earlier run had, so that nothing is there already. */
  fresh(what: string): string {
    this.#runs += 1;
    return `${what}-${this.#runs}`;
  }

  /** Builds a Dockerfile with our client; the context has `file`, whose text is new each time. */
  async build(dockerfile: string, more: readonly string[] = []): Promise<RunResult> {
    const context = mkdtempSync(join(this.folder, "context-"));
    try {
      writeFileSync(join(context, "Dockerfile"), dockerfile);
      writeFileSync(join(context, "file"), this.fresh("text"));
      writeFileSync(join(context, "noise"), this.noise);
      const local = [`--local=context=${context}`, `--local=dockerfile=${context}`];
      const docker = join(this.folder, "docker");
      mkdirSync(docker, { recursive: true });
      const args = ["build", "--frontend=dockerfile.v0", "--progress=plain", ...local, ...more];
      return await this.daemon.buildctl(args, { env: { DOCKER_CONFIG: docker } });
    } finally {
      rmSync(context, { recursive: true });
    }
  }

  /** Builds what an archive behind a URL holds. */
  async buildArchive(url: string, more: readonly string[]): Promise<RunResult> {
    const args = ["build", "--frontend=dockerfile.v0", "--progress=plain", `--opt=context=${url}`, ...more];
    return await this.daemon.buildctl(args);
  }

  /** Forgets all that was fetched or built. */
  async forget(): Promise<void> {
    await this.daemon.buildctlOk(["prune", "--all"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Any path is a file of 200 kB that depends on the path alone; what ends with `.tar` is a context of one. */
async function serveFiles(): Promise<Server> {
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const file = Buffer.alloc(200_000, `${path} `);
    const body = path.endsWith(".tar")
      ? archiveOf({ Dockerfile: Buffer.from("FROM scratch\nCOPY file /\n"), file })
      : file;
    response.setHeader("etag", `"${path.length}-${body.length}"`);
    response.setHeader("accept-ranges", "bytes");
    const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
    if (from === undefined) {
      response.setHeader("content-length", body.length);
      response.end(request.method === "HEAD" ? undefined : body);
      return;
    }
    const rest = body.subarray(Number(from));
    response.setHeader("content-range", `bytes ${from}-${body.length - 1}/${body.length}`);
    response.setHeader("content-length", rest.length);
    response.writeHead(206).end(rest);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** What a failed build printed in the end. */
export function reasonOf(result: RunResult): string {
  const lines = result.output.trim().split("\n");
  const start = lines.findLastIndex((line) => line.startsWith("error:"));
  return lines
    .slice(start)
    .join(" ")
    .replace(/^error: (?:failed to solve: )?/, "");
}
