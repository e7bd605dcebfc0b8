import { randomBytes } from "node:crypto";
import { opspb } from "@buildkit-ts/api";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ContainerRequest, Executor, ProcessMeta, ProcessStreams } from "@buildkit-ts/executor";
import { mountTemporarily } from "@buildkit-ts/mount";
import type { OpContext } from "@buildkit-ts/solver";
import { traceOf } from "../build-trace.ts";
import { requireEntitlement } from "../definition/load-definition.ts";
import { lockCacheMounts } from "../mounts/lock-cache-mounts.ts";
import { type MountDeps, type PreparedMounts, prepareMounts } from "../mounts/prepare-mounts.ts";
import { loadSecretEnv } from "../mounts/session-secret.ts";
import { defaultPath, networkOf, securityOf, windowsPath, withDefault } from "../ops/process-meta.ts";
import { requestCheck } from "../proxy/request-policy.ts";
import { type ContainerFiles, ReadonlyFiles } from "./readonly-files.ts";

/** What a container is made of that belongs to no op of a graph. */
export interface StepContainerRequest {
  /** For descriptions of what it mounts. */
  readonly name: string;
  /** Each with an index into `inputs`, or -1; whatever they hold may be changed, and is thrown away with the container. */
  readonly mounts: readonly opspb.Mount[];
  readonly inputs: readonly (ImmutableRef | undefined)[];
  /** A directory with files that nobody can change. */
  readonly files?: ContainerFiles;
  readonly network: opspb.NetMode;
  /** Whether a proxy stands between the container and its network. */
  readonly isProxied: boolean;
  readonly hostname: string;
  readonly extraHosts: readonly opspb.HostIP[];
  readonly os: string;
  /** What the build may do beyond the sandbox. */
  readonly granted: ReadonlySet<string>;
  /** Lives as long as the container: its signal ends it, its sessions give secrets. */
  readonly context: OpContext;
}

interface Held {
  readonly prepared: PreparedMounts;
  readonly files: ReadonlyFiles | undefined;
}

/** What {@linkcode StepContainer} works with. */
export interface StepContainerDeps extends MountDeps {
  readonly executor: Executor;
}

/** A process to run in a container. */
export interface ContainerProcess {
  readonly meta: opspb.Meta;
  readonly tty: boolean;
  readonly security: opspb.SecurityMode;
  readonly secretEnv: readonly opspb.SecretEnv[];
}

/**
 * A container that a frontend or a client works in, outside of any graph.
 *
 *     open() ──▶ mounted ──start()──▶ running ──start()…──▶ its first process ends ──▶ dispose
 *
 * The first process is the container's init: the others join it and end with it. Mounts can be read at any time until disposal,
 * which kills whatever runs and throws all changes away.
 */
export class StepContainer implements AsyncDisposable {
  readonly #request: StepContainerRequest;
  readonly #deps: StepContainerDeps;
  readonly #prepared: PreparedMounts;
  readonly #files: ReadonlyFiles | undefined;
  readonly #id = randomBytes(16).toString("hex");
  readonly #abort = new AbortController();
  /** Processes and looks into mounts. */
  readonly #running = new Set<Promise<void>>();
  #processes = 0;
  #init: Promise<void> | undefined;
  #disposed: Promise<void> | undefined;

  private constructor(request: StepContainerRequest, deps: StepContainerDeps, held: Held) {
    this.#request = request;
    this.#deps = deps;
    this.#prepared = held.prepared;
    this.#files = held.files;
  }

  /** @throws {BuildError} `permission_denied`, for a network that the build may not have; `invalid_argument`, for odd mounts. */
  static async open(request: StepContainerRequest, deps: StepContainerDeps): Promise<StepContainer> {
    // Refused here for what nobody could mean; whether the build may have it is checked when a process starts.
    networkOf(request.network);
    const { mounts, inputs, context } = request;
    await using stack = new AsyncDisposableStack();
    const wanted = { mounts, inputs, cwd: "", name: request.name, context };
    const scope = stack.use(await lockCacheMounts(wanted, deps));
    const prepared = stack.use(await prepareMounts(wanted, { ...deps, scope }));
    const files = request.files === undefined ? undefined : await ReadonlyFiles.create(request.files, deps);
    if (files !== undefined) stack.use(files);
    const container = new StepContainer(request, deps, { prepared, files });
    stack.move();
    return container;
  }

  /**
   * Starts a process; the promise inside is its end. The signal kills it.
   *
   * @throws {ExitError} from that promise, for an exit code but 0; {BuildError} for what could not be started.
   */
  async start(
    process: ContainerProcess,
    streams: ProcessStreams,
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly ended: Promise<void> }> {
    const signal = AbortSignal.any([options.signal, this.#abort.signal, this.#request.context.signal]);
    signal.throwIfAborted();
    const meta = await this.#createMeta(process);
    const started = Promise.withResolvers<void>();
    const isInit = this.#init === undefined;
    const ended = isInit
      ? this.#run(meta, streams, { signal, onStarted: started.resolve })
      : this.#deps.executor.exec(this.#id, meta, streams, { signal });
    if (isInit) this.#init = ended;
    else started.resolve();
    this.#processes += 1;
    this.#track(ended.finally(() => (this.#processes -= 1)));
    await Promise.race([started.promise, ended.catch(() => undefined)]);
    return { ended };
  }

  async #run(
    meta: ProcessMeta,
    streams: ProcessStreams,
    options: { readonly signal: AbortSignal; readonly onStarted: () => void },
  ): Promise<void> {
    const { root, mounts } = this.#prepared;
    const all = this.#files === undefined ? mounts : [...mounts, this.#files.mount];
    const request = { id: this.#id, meta, root, mounts: all, ...this.#proxy() };
    await this.#deps.executor.run(request, streams, options);
  }

  /** What is asked for here is no part of any result. */
  #proxy(): Pick<ContainerRequest, "proxy"> {
    const { isProxied, context } = this.#request;
    return isProxied ? { proxy: { check: requestCheck(context), onReport: () => undefined } } : {};
  }

  /** Whether some process has not ended yet. */
  get isRunning(): boolean {
    return this.#processes > 0;
  }

  #track(ended: Promise<unknown>): void {
    const settled = ended.then(
      () => undefined,
      () => undefined,
    );
    this.#running.add(settled);
    settled.finally(() => this.#running.delete(settled)).catch(() => undefined);
  }

  async #createMeta({ meta, tty, security, secretEnv }: ContainerProcess): Promise<ProcessMeta> {
    const { network, granted, hostname, extraHosts, os, context } = this.#request;
    const securityMode = securityOf(security);
    requireEntitlement(network === opspb.NetMode.HOST, "network.host", granted);
    requireEntitlement(securityMode === "insecure", "security.insecure", granted);
    if (meta.args.length === 0) throw new BuildError("invalid_argument", "Cannot start process: it has no arguments");
    const withPath = withDefault(meta.env, "PATH", os === "windows" ? windowsPath : defaultPath);
    const env = tty ? withDefault(withPath, "TERM", "xterm") : withPath;
    const trace = traceOf(context)?.call;
    const access = { sessions: this.#deps.sessions, ids: context.sessions(), signal: context.signal };
    return {
      args: meta.args,
      env: [...env, ...(await loadSecretEnv(access, secretEnv))],
      user: meta.user,
      cwd: meta.cwd === "" ? "/" : meta.cwd,
      hostname,
      extraHosts: extraHosts.map(({ Host: host, IP: ip }) => ({ host, ip })),
      ulimits: [],
      cgroupParent: "",
      network: networkOf(network),
      security: securityMode,
      readonlyRootfs: this.#prepared.readonlyRoot,
      removeMountStubsRecursive: meta.removeMountStubsRecursive,
      tty,
      ...(trace !== undefined && { trace }),
    };
  }

  /**
   * Looks into one of the requested mounts, at a path where it can be read.
   *
   * @throws {BuildError} `not_found`, for an index that names none.
   */
  async read<T>(index: number, look: (path: string) => T, options: { readonly signal: AbortSignal }): Promise<T> {
    const { views } = this.#prepared;
    if (this.#disposed !== undefined) throw new BuildError("not_found", "Cannot read container: it was released");
    if (index < 0 || index >= views.length) {
      throw new BuildError("not_found", `mount index ${index} is out of bounds (${views.length} available)`);
    }
    const reading = this.#read(index, look, options);
    this.#track(reading);
    return await reading;
  }

  async #read<T>(index: number, look: (path: string) => T, { signal }: { readonly signal: AbortSignal }): Promise<T> {
    const open = this.#prepared.views[index];
    if (open === undefined) throw new BuildError("not_found", `mountable ${index} not found`);
    // Anew each time: an overlay does not see what is written beneath it.
    await using held = await open();
    const parent = this.#deps.temporaryDirectory;
    await using mounted = await mountTemporarily(held.mounts, { signal, parent, onlyReads: true });
    return look(mounted.path);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    this.#abort.abort(new BuildError("canceled", "context canceled"));
    await Promise.all(this.#running);
    await using stack = new AsyncDisposableStack();
    stack.use(this.#prepared);
    if (this.#files !== undefined) stack.use(this.#files);
  }
}
