import type { Platform } from "@buildkit-ts/oci";
import { normalizePlatform } from "@buildkit-ts/oci";
import { BuildVertex, DiffVertex, MergeVertex, PassthroughVertex } from "./combine-ops.ts";
import type { Constraints, MarshalOptions } from "./constraints.ts";
import type { Definition } from "./definition.ts";
import { type ExecMount, type ExecSecret, type ExecSsh, ExecVertex, type ProxyEnv } from "./exec-op.ts";
import { type CopyOptions, type CopySource, copy, type FileAction, FileVertex } from "./file-action.ts";
import { marshal } from "./marshal.ts";
import { invalid } from "./op-encoding.ts";
import { joinPath } from "./path.ts";
import type { LlbVertex, Output } from "./vertex.ts";

/** A mount of {@linkcode State.run}. */
export interface MountOptions {
  readonly target: string;
  /** What is mounted; scratch if undefined. */
  readonly source?: State;
  readonly readonly?: boolean;
  /** Path in the source that is mounted. */
  readonly selector?: string;
  readonly cache?: { readonly id: string; readonly sharing?: "shared" | "private" | "locked" };
  readonly tmpfs?: { readonly sizeBytes?: number };
  /** The changes are dropped after the step. */
  readonly noOutput?: boolean;
  readonly contentCache?: "on" | "off";
}

/** Options of {@linkcode State.run}: the step's own, and constraints. */
export interface RunOptions extends Constraints {
  readonly args: readonly string[];
  readonly mounts?: readonly MountOptions[];
  readonly secrets?: readonly ExecSecret[];
  readonly ssh?: readonly ExecSsh[];
  readonly devices?: readonly { readonly name: string; readonly optional?: boolean }[];
  readonly readonlyRoot?: boolean;
  readonly proxy?: ProxyEnv;
  readonly validExitCodes?: readonly number[];
  /** Changes to the state for this step only, such as `(s) => s.network("none")`. */
  readonly with?: (state: State) => State;
}

interface Settings {
  readonly cwd: string;
  readonly env: ReadonlyMap<string, string>;
  readonly user: string;
  readonly hostname: string;
  readonly cgroupParent: string;
  readonly network: "sandbox" | "host" | "none";
  readonly security: "sandbox" | "insecure";
  readonly extraHosts: readonly { readonly host: string; readonly ip: string }[];
  readonly ulimits: readonly { readonly name: string; readonly soft: bigint; readonly hard: bigint }[];
  readonly platform: Platform | undefined;
}

const noSettings: Settings = {
  cwd: "/",
  env: new Map(),
  user: "",
  hostname: "",
  cgroupParent: "",
  network: "sandbox",
  security: "sandbox",
  extraHosts: [],
  ulimits: [],
  platform: undefined,
};

/**
 * A filesystem under construction, together with the settings that later steps on it start with.
 *
 * Immutable: every method gives a new state. {@linkcode State.marshal} makes a definition of it.
 */
export class State implements CopySource {
  /** Undefined for scratch, the empty filesystem. */
  readonly output: Output | undefined;
  readonly settings: Settings;

  constructor(output: Output | undefined, settings: Settings = noSettings) {
    this.output = output;
    this.settings = output?.platform === undefined ? settings : { ...settings, platform: output.platform };
  }

  get cwd(): string {
    return this.settings.cwd;
  }

  /** The environment, in the order in which the variables were last set. */
  get env(): ReadonlyMap<string, string> {
    return this.settings.env;
  }

  get isScratch(): boolean {
    return this.output === undefined;
  }

  /** The same settings upon another filesystem. */
  withOutput(output: Output | undefined): State {
    return new State(output, this.settings);
  }

  /** This filesystem with the settings of `other`. */
  withSettingsOf(other: State): State {
    return new State(this.output, other.settings);
  }

  addEnv(key: string, value: string): State {
    return this.addEnvs([[key, value]]);
  }

  /** Sets variables one after the other, in the time of one for all. */
  addEnvs(variables: Iterable<readonly [key: string, value: string]>): State {
    const env = new Map(this.settings.env);
    for (const [key, value] of variables) {
      // Setting a variable again moves it to the end.
      env.delete(key);
      env.set(key, value);
    }
    return this.#with({ env });
  }

  removeEnv(key: string): State {
    const env = new Map(this.settings.env);
    env.delete(key);
    return this.#with({ env });
  }

  /** Sets the working directory; a relative one is below the current one. */
  dir(path: string): State {
    return this.#with({ cwd: path.startsWith("/") ? path : joinPath(this.cwd || "/", path) });
  }

  user(user: string): State {
    return this.#with({ user });
  }

  hostname(hostname: string): State {
    return this.#with({ hostname });
  }

  cgroupParent(cgroupParent: string): State {
    return this.#with({ cgroupParent });
  }

  network(network: "sandbox" | "host" | "none"): State {
    return this.#with({ network });
  }

  security(security: "sandbox" | "insecure"): State {
    return this.#with({ security });
  }

  addExtraHost(host: string, ip: string): State {
    return this.#with({ extraHosts: [...this.settings.extraHosts, { host, ip }] });
  }

  addUlimit(ulimit: { readonly name: string; readonly soft: bigint; readonly hard: bigint }): State {
    return this.#with({ ulimits: [...this.settings.ulimits, ulimit] });
  }

  platform(platform: Platform): State {
    return this.#with({ platform: normalizePlatform(platform) });
  }

  /**
   * Runs a process on this filesystem. The result is the filesystem after it, or another mount of it.
   *
   * A text is a command for `/bin/sh`.
   */
  run(what: string | RunOptions, more: Omit<RunOptions, "args"> = {}): ExecState {
    const options = typeof what === "string" ? { ...more, args: ["/bin/sh", "-c", what] } : { ...more, ...what };
    const base = options.with?.(this) ?? this;
    const { settings } = base;
    const root = execMount({ target: "/", source: base, readonly: options.readonlyRoot ?? false });
    const mounts = [root, ...(options.mounts ?? []).map(execMount)];
    const platform = options.platform ?? settings.platform;
    const vertex = new ExecVertex({
      process: { ...settings, args: options.args, validExitCodes: options.validExitCodes, proxy: options.proxy },
      mounts,
      secrets: options.secrets ?? [],
      ssh: options.ssh ?? [],
      devices: options.devices ?? [],
      constraints: { ...options, ...(platform !== undefined && { platform }) },
    });
    const known = options.platform === undefined ? undefined : normalizePlatform(options.platform);
    const outputs = new Map(mounts.map((m) => [m.target, vertex.outputOf(m, known)]));
    return new ExecState(outputs, this.settings);
  }

  /** Changes files of this filesystem. */
  file(action: FileAction, constraints: Constraints = {}): State {
    const vertex = new FileVertex(this, action, constraints);
    return this.withOutput({ vertex, index: 0 });
  }

  /** Copies `paths.src` of `source` to `paths.dest` of this filesystem. Chain {@linkcode copy} for more in one step. */
  copy(
    source: CopySource,
    paths: { readonly src: string; readonly dest: string },
    options: CopyOptions & { readonly constraints?: Constraints } = {},
  ): State {
    return this.file(copy(source, paths, options), options.constraints);
  }

  /** The same filesystem, but not before `dependencies` are built. */
  requires(id: string, dependencies: readonly State[], constraints: Constraints = {}): State {
    if (dependencies.length === 0) return this;
    const inputs = [this, ...dependencies].flatMap(({ output }) => (output === undefined ? [] : [output]));
    return this.withOutput({ vertex: new PassthroughVertex(id, inputs, constraints), index: 0 });
  }

  /** What the definition gives that a file of this filesystem holds (`buildkit.llb.definition` by default). */
  build(options: Constraints & { readonly filename?: string } = {}): State {
    if (this.output === undefined) throw invalid("Cannot build a definition: scratch has no file");
    return this.withOutput({ vertex: new BuildVertex(this.output, options.filename ?? "", options), index: 0 });
  }

  marshal(options: MarshalOptions = {}): Definition {
    return marshal(this.output, options);
  }

  #with(settings: Partial<Settings>): State {
    return new State(this.output, { ...this.settings, ...settings });
  }
}

/** The root filesystem after a step, with access to the step's other mounts. */
export class ExecState extends State {
  readonly #outputs: ReadonlyMap<string, Output | undefined>;

  constructor(outputs: ReadonlyMap<string, Output | undefined>, settings: Settings) {
    super(outputs.get("/"), settings);
    this.#outputs = outputs;
  }

  /** What is at the mount after the step, with default settings. Undefined if the step has no such mount. */
  mount(target: string): State | undefined {
    return this.#outputs.has(target) ? new State(this.#outputs.get(target)) : undefined;
  }
}

function execMount(options: MountOptions): ExecMount {
  return {
    target: options.target,
    source: options.source?.output,
    readonly: options.readonly ?? false,
    selector: options.selector ?? "",
    cache: options.cache && { id: options.cache.id, sharing: options.cache.sharing ?? "shared" },
    tmpfs: options.tmpfs && { sizeBytes: options.tmpfs.sizeBytes ?? 0 },
    noOutput: options.noOutput ?? false,
    contentCache: options.contentCache ?? "default",
  };
}

/** The empty filesystem. */
export function scratch(): State {
  return new State(undefined);
}

/** Lays states over each other; scratch among them has no effect. */
export function merge(states: readonly State[], constraints: Constraints = {}): State {
  const present = states.filter((state) => !state.isScratch);
  const [first, second] = present;
  if (first === undefined) return scratch();
  if (second === undefined) return first;
  const inputs = present.flatMap(({ output }) => (output === undefined ? [] : [output]));
  return first.withOutput({ vertex: new MergeVertex(inputs, constraints), index: 0 });
}

/** What `upper` has changed upon `lower`. */
export function diff(lower: State, upper: State, constraints: Constraints = {}): State {
  if (lower.isScratch) return upper.isScratch ? scratch() : upper;
  const vertex: LlbVertex = new DiffVertex({ lower: lower.output, upper: upper.output }, constraints);
  return lower.withOutput({ vertex, index: 0 });
}
