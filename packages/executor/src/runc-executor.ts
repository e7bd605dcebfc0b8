import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "@buildkit-ts/async";
import { BuildError, ExitError } from "@buildkit-ts/errdefs";
import { mountAll, unmountAll } from "@buildkit-ts/mount";
import type { ProcessExit } from "@buildkit-ts/sys";
import { applyDeviceEdits } from "./apply-device-edits.ts";
import { ContainerDirectories, checkContainerId, makeOwnDirectory } from "./container-directories.ts";
import { prepareContainerMounts } from "./container-mounts.ts";
import { acquireNetwork, type ContainerNetwork, type ContainerNetworks } from "./container-network.ts";
import { ContainerProcess } from "./container-process.ts";
import { createRuntimeSpec, detectRuntimeHost, type RuntimeHost } from "./create-runtime-spec.ts";
import type { ContainerRequest, Executor, ProcessMeta, ProcessStreams, RunOptions } from "./executor.ts";
import { LeftoverContainers } from "./leftover-containers.ts";
import { NetworkFileStore } from "./network-files.ts";
import { findRuntime, OciRuntime } from "./oci-runtime.ts";
import type { DnsConfig } from "./resolv-conf.ts";
import { RootFileSystem } from "./root-file-system.ts";
import { runtimeAdvice } from "./runtime-advice.ts";
import type { RuntimeMount, RuntimeSpec } from "./runtime-spec.ts";
import { withTraceEnvironment } from "./trace-environment.ts";
import { StepTrust } from "./trust/step-trust.ts";

/** How a {@linkcode RuncExecutor} is set up; everything but the directory and the networks has a default. */
export interface RuncExecutorOptions extends ContainerNetworks {
  /** For bundles, the runtime's state and mount points; the executor's own. */
  readonly directory: string;
  /** The runtime's program; looked up in PATH among the usual names by default. */
  readonly binary?: string;
  readonly host?: Partial<RuntimeHost>;
  readonly dns?: DnsConfig;
  /** `runc run --no-pivot`, for roots on a ramdisk. */
  readonly noPivot?: boolean;
  readonly clock?: Clock;
}

/** A container that runs, as far as `exec` needs it. */
interface RunningContainer {
  readonly rootPath: string;
  readonly spec: RuntimeSpec;
  /** What the network adds to the environment of every process. */
  readonly networkEnv: readonly string[];
  readonly started: Promise<void>;
}

/** Runs containers through an OCI runtime (runc or crun). Beside their directories lie files that are bound into their /etc. */
export class RuncExecutor implements Executor, AsyncDisposable {
  readonly #directories: ContainerDirectories;
  readonly #networks: ContainerNetworks;
  readonly #host: RuntimeHost;
  readonly #noPivot: boolean;
  readonly #runtime: OciRuntime;
  readonly #files: NetworkFileStore;
  readonly #running = new Map<string, RunningContainer>();
  readonly #leftovers: LeftoverContainers;
  #execs = 0;

  private constructor(options: RuncExecutorOptions, binary: string) {
    this.#networks = options;
    this.#host = detectRuntimeHost(options.host);
    this.#noPivot = options.noPivot ?? false;
    this.#runtime = new OciRuntime(binary, ContainerDirectories.stateOf(options.directory));
    this.#directories = new ContainerDirectories(options.directory, this.#runtime);
    this.#leftovers = new LeftoverContainers(
      options.clock ?? systemClock,
      async (id) => await this.#directories.removeLeftover(id),
    );
    this.#files = new NetworkFileStore(options.directory, options.dns === undefined ? {} : { dns: options.dns });
  }

  /** @throws {BuildError} `failed_precondition`, if no runtime is installed. */
  static async open(options: RuncExecutorOptions): Promise<RuncExecutor> {
    const path = process.env["PATH"] ?? "";
    const binary = findRuntime({ path, ...(options.binary !== undefined && { binary: options.binary }) });
    await mkdir(ContainerDirectories.stateOf(options.directory), { recursive: true, mode: 0o711 });
    return new RuncExecutor(options, binary);
  }

  /** What whoever runs the daemon should know of the runtime; undefined where there is nothing. */
  async advice(options: { readonly signal: AbortSignal }): Promise<string | undefined> {
    return runtimeAdvice(await this.#runtime.versionText(options));
  }

  async run(request: ContainerRequest, streams: ProcessStreams, options: RunOptions): Promise<void> {
    const { signal } = options;
    signal.throwIfAborted();
    checkContainerId(request.id);
    if (this.#running.has(request.id)) {
      throw new BuildError("already_exists", `Cannot run container "${request.id}": it runs already`);
    }
    const started = Promise.withResolvers<void>();
    started.promise.catch(() => undefined);
    try {
      await this.#runPrepared(request, streams, {
        ...options,
        register: (container) => {
          this.#running.set(request.id, { ...container, started: started.promise });
        },
        onStarted: () => {
          started.resolve();
          options.onStarted?.();
        },
      });
    } finally {
      this.#running.delete(request.id);
      started.reject(new BuildError("failed_precondition", `container ${request.id} has stopped`));
      if (this.#directories.mayRemain(request.id)) this.#leftovers.add(request.id);
    }
  }

  async #runPrepared(
    request: ContainerRequest,
    streams: ProcessStreams,
    options: RunOptions & { readonly register: (container: Omit<RunningContainer, "started">) => void },
  ): Promise<void> {
    const { signal } = options;
    await using stack = new AsyncDisposableStack();
    const network = stack.use(await acquireNetwork(request, this.#networks, { signal }));
    const meta = { ...request.meta, env: [...request.meta.env, ...network.env] };
    const files = stack.use(await this.#files.prepare(request.id, meta));
    const { path: bundle } = stack.use(await this.#directories.makeBundle(request.id));
    const rootPath = join(bundle, "rootfs");
    await mkdir(rootPath, { mode: 0o700 });
    const trust = beginTrust(network, request, stack);
    await mountAll(request.root, rootPath, { signal });
    stack.defer(async () => await unmountAll(rootPath));
    const trustMounts = await trust({ rootPath, bundle });
    const mounts = stack.use(await prepareContainerMounts(request.mounts, { directory: bundle, signal }));
    const root = stack.use(new RootFileSystem(rootPath));
    const plain = createRuntimeSpec({
      id: request.id,
      meta,
      user: root.resolveUser(meta.user),
      rootPath,
      // The step's own may cover it.
      mounts: [...trustMounts, ...mounts.mounts],
      hostsPath: files.hostsPath,
      resolvConfPath: files.resolvConfPath,
      network: network.join,
      host: this.#host,
    });
    const edits = request.deviceEdits;
    const spec = edits === undefined ? plain : applyDeviceEdits(plain, edits);
    const destinations = [
      "/etc/resolv.conf",
      "/etc/hosts",
      ...mounts.mounts.map(({ destination }) => destination),
      ...(edits?.mounts ?? []).map(({ containerPath }) => containerPath),
    ];
    const stubs = root.findMountStubs(destinations, { recursive: meta.removeMountStubsRecursive });
    stack.defer(() => root.removeMountStubs(stubs));
    root.ensureDirectory(spec.process.cwd, spec.process.user);
    options.register({ rootPath, spec, networkEnv: network.env });
    await this.#call({ spec, bundle, id: request.id }, streams, options);
  }

  async #call(
    container: { readonly spec: RuntimeSpec; readonly bundle: string; readonly id: string },
    streams: ProcessStreams,
    options: RunOptions,
  ): Promise<void> {
    const { bundle, id } = container;
    const process = await ContainerProcess.start(this.#runtime, streams, {
      directory: bundle,
      tty: container.spec.process.terminal,
      files: { "config.json": JSON.stringify(container.spec) },
      args: (pidPath) => [
        "run",
        ...(this.#noPivot ? ["--no-pivot"] : []),
        "--bundle",
        bundle,
        "--pid-file",
        pidPath,
        id,
      ],
    });
    const exit = await this.#wait(process, options);
    // `runc run` removes the container when its init ends; where it was killed itself, that is left to do.
    if (exit.signal !== null) await this.#delete(id, bundle);
    options.signal.throwIfAborted();
    checkExit(exit);
  }

  async #wait(process: ContainerProcess, options: RunOptions): Promise<ProcessExit> {
    const { signal, onStarted } = options;
    return await process.wait({ signal, ...(onStarted !== undefined && { onStarted }) });
  }

  async #delete(id: string, bundle: string): Promise<void> {
    await this.#runtime.run(["delete", "--force", id], { logPath: join(bundle, "delete.log") });
  }

  // oxlint-disable-next-line max-params -- the contract's
  async exec(
    id: string,
    meta: ProcessMeta,
    streams: ProcessStreams,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    options.signal.throwIfAborted();
    const container = this.#running.get(id);
    if (container === undefined) throw new BuildError("not_found", `container ${id} not found`);
    await container.started;
    using root = new RootFileSystem(container.rootPath);
    root.refuseDescriptor(meta.cwd);
    const base = container.spec.process;
    const specification = {
      ...base,
      terminal: meta.tty,
      args: meta.args,
      ...(meta.user !== "" && { user: root.resolveUser(meta.user) }),
      ...(meta.cwd !== "" && { cwd: meta.cwd }),
      ...(meta.env.length > 0 && { env: [...this.#environment(meta), ...container.networkEnv] }),
    };
    await using stack = new AsyncDisposableStack();
    this.#execs += 1;
    const place = join(this.#directories.bundleOf(id), `exec-${this.#execs}`);
    const { path: directory } = stack.use(await makeOwnDirectory(place, 0o700));
    const process = await ContainerProcess.start(this.#runtime, streams, {
      directory,
      tty: meta.tty,
      files: { "process.json": JSON.stringify(specification) },
      args: (pidPath) => ["exec", "--process", join(directory, "process.json"), "--pid-file", pidPath, id],
    });
    // The end of the container needs no watching: the kernel kills all of its pid namespace.
    const exit = await process.wait({ signal: options.signal });
    options.signal.throwIfAborted();
    checkExit(exit);
  }

  #environment({ env, trace }: ProcessMeta): readonly string[] {
    return this.#host.traceSocket === "" ? env : withTraceEnvironment(env, trace);
  }

  async cleanup(): Promise<void> {
    await this.#directories.removeAll();
    this.#files.forget();
  }

  /** Tries no more to remove what could not be removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leftovers[Symbol.asyncDispose]();
  }
}

/** @returns What to call once the root is mounted: it gives what has to be mounted into the container for the trust. */
function beginTrust(
  { authority }: ContainerNetwork,
  { meta, root }: ContainerRequest,
  stack: AsyncDisposableStack,
): (place: { readonly rootPath: string; readonly bundle: string }) => Promise<RuntimeMount[]> {
  if (authority === undefined) return async () => await Promise.resolve([]);
  const trust = stack.use(new StepTrust(authority, root));
  return async ({ rootPath, bundle }) => {
    if (meta.readonlyRootfs) return await trust.mounts(rootPath, bundle);
    stack.use(trust.begin(rootPath));
    return [];
  };
}

function checkExit({ code, signal }: ProcessExit): void {
  if (code === 0) return;
  // The runtime itself was killed: nobody knows how the process ended.
  const unknownStatus = 255;
  const status = code ?? unknownStatus;
  throw new ExitError(status, signal === null ? `exit code: ${status}` : `runtime was killed by signal ${signal}`);
}
