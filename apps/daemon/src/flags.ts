import { BuildError } from "@buildkit-ts/errdefs";
import { Command, Option } from "commander";

/** `true`, `false` or `auto`, as worker flags spell it. */
export type Toggle = boolean | "auto";

/** What the command line says; undefined where it says nothing, so that the configuration file is asked. */
export interface DaemonFlags {
  readonly addresses: readonly string[] | undefined;
  readonly root: string | undefined;
  readonly configPath: string | undefined;
  readonly debug: boolean | undefined;
  readonly logLevel: string | undefined;
  readonly logFormat: string | undefined;
  readonly group: string | undefined;
  readonly debugAddress: string | undefined;
  readonly otelSocketPath: string | undefined;
  readonly tls: {
    readonly cert: string | undefined;
    readonly key: string | undefined;
    readonly ca: string | undefined;
  };
  readonly allowInsecureEntitlements: readonly string[] | undefined;
  readonly cdi: { readonly disabled: boolean | undefined; readonly specDirectories: readonly string[] | undefined };
  readonly worker: WorkerFlags;
  readonly proxyNetwork: boolean | undefined;
  readonly idleTimeout: string | undefined;
  /** Verify and repair the root instead of serving it. */
  readonly fsck: boolean;
  readonly version: boolean;
}

/** The `--oci-worker…` flags. */
export interface WorkerFlags {
  readonly enabled: Toggle | undefined;
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly snapshotter: string | undefined;
  readonly platforms: readonly string[] | undefined;
  readonly network: string | undefined;
  readonly cniConfigPath: string | undefined;
  readonly cniBinaryPath: string | undefined;
  readonly cniPoolSize: number | undefined;
  readonly binary: string | undefined;
  readonly maxParallelism: number | undefined;
  readonly gc: boolean | undefined;
  readonly gcKeepStorage: string | undefined;
}

/** Flags that name something this daemon lacks: refused when used, accepted as `=false`, empty or at their default. */
const missing: readonly (readonly [flag: string, accepted: readonly string[], what: string])[] = [
  ["--rootless", ["false"], "rootless mode"],
  ["--save-cache-debug", ["false"], "stored cache-key debug information"],
  ["--oci-worker-rootless", ["false"], "rootless mode"],
  ["--oci-worker-no-process-sandbox", ["false"], "rootless mode"],
  ["--oci-worker-selinux", ["false"], "SELinux labels"],
  ["--containerd-worker", ["false", "auto"], "the containerd worker"],
  ["--containerd-worker-rootless", ["false"], "the containerd worker"],
  ["--containerd-worker-selinux", ["false"], "the containerd worker"],
  ["--containerd-worker-gc", ["false", "true"], "the containerd worker"],
];

const missingValues: readonly (readonly [flag: string, accepted: readonly string[], what: string])[] = [
  ["--oci-worker-proxy-snapshotter-path", [""], "proxy snapshotters"],
  ["--oci-worker-apparmor-profile", [""], "AppArmor profiles"],
];

/** These only matter to things that are absent, and are harmless: they are accepted and have no effect. */
const withoutEffect: readonly string[] = [
  "--containerd-worker-addr",
  "--containerd-worker-labels",
  "--containerd-worker-platform",
  "--containerd-worker-namespace",
  "--containerd-worker-runtime",
  "--containerd-worker-net",
  "--containerd-worker-snapshotter",
  "--containerd-worker-apparmor-profile",
  "--containerd-worker-gc-keepstorage",
  "--containerd-cni-config-path",
  "--containerd-cni-binary-dir",
  "--containerd-cni-pool-size",
  "--containerd-max-parallelism",
];

const profilers = ["cpu", "memory", "memoryrate", "block", "mutex", "trace"].map((name) => `--profile-${name}`);

const collect = (value: string, all: string[] | undefined): string[] => [...(all ?? []), value];

/**
 * Reads the command line. Boolean flags take an optional `=true` or `=false`.
 *
 * @throws {BuildError} `invalid_argument`, for an unknown flag or value; `unimplemented`, for what this daemon lacks.
 */
export function parseFlags(args: readonly string[]): DaemonFlags {
  const command = createCommand();
  try {
    command.parse([...args], { from: "user" });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "commander.helpDisplayed") process.exit(0);
    const text = error instanceof Error ? error.message.replace(/^error: /, "") : String(error);
    throw new BuildError("invalid_argument", `Cannot read command line: ${text}`, { cause: error });
  }
  const options = command.opts<Record<string, unknown>>();
  refuseMissing(options);
  return readOptions(options);
}

function createCommand(): Command {
  const command = new Command("buildkitd")
    .description("build daemon")
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .allowExcessArguments(false);
  const values = {
    "--root <path>": "state directory",
    "--config <path>": "configuration file",
    "--log-format <format>": "text or json",
    "--group <group>": "group, by name or id, that owns the socket",
    "--debugaddr <address>": "address for debugging",
    "--otel-socket-path <path>": "socket for the spans of steps",
    "--tlscert <path>": "certificate file",
    "--tlskey <path>": "key file",
    "--tlscacert <path>": "CA of client certificates",
    "--oci-worker-snapshotter <name>": "auto, overlayfs, fuse-overlayfs or native",
    "--oci-worker-net <mode>": "auto, host, cni or bridge",
    "--oci-cni-config-path <path>": "CNI network, one plugin or a .conflist",
    "--oci-cni-binary-dir <path>": "directory of CNI plugins",
    "--oci-cni-pool-size <n>": "network namespaces that are kept ready",
    "--oci-worker-binary <path>": "OCI runtime",
    "--oci-max-parallelism <n>": "steps that run at a time; 0 is no limit",
    "--oci-worker-gc-keepstorage <mb>": "Reserved[,Free[,Maximum]] in MB",
  };
  for (const [flag, text] of Object.entries(values)) command.option(flag, text);
  command.addOption(new Option("--log-level <level>").env("BUILDKITD_LOG_LEVEL"));
  command.addOption(new Option("--idle-timeout <duration>", "end after so long without clients").hideHelp());
  for (const flag of ["--debug", "--oci-worker-gc", "--oci-worker", "--trace", "--cdi-disabled", "--proxy-network"])
    command.option(`${flag} [bool]`);
  for (const flag of [
    "--addr",
    "--allow-insecure-entitlement",
    "--oci-worker-labels",
    "--oci-worker-platform",
    "--cdi-spec-dir",
  ]) {
    command.option(`${flag} <value>`, "repeatable", collect);
  }
  for (const [flag] of missing) command.addOption(new Option(`${flag} [bool]`).hideHelp());
  for (const [flag] of missingValues) command.addOption(new Option(`${flag} <value>`).hideHelp());
  for (const flag of withoutEffect) command.addOption(new Option(`${flag} <value>`).argParser(collect).hideHelp());
  for (const flag of profilers) command.addOption(new Option(`${flag} <path>`).hideHelp());
  command.option("--fsck", "verify and repair the state directory, and end");
  command.option("-v, --version", "print the version");
  return command;
}

function camel(flag: string): string {
  return flag.slice(2).replace(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

function refuseMissing(options: Readonly<Record<string, unknown>>): void {
  for (const [flag, accepted, what] of [...missing, ...missingValues]) {
    const value = options[camel(flag)];
    if (value === undefined || accepted.includes(spelled(value))) continue;
    throw new BuildError("unimplemented", `Cannot use flag "${flag}=${spelled(value)}": this daemon lacks ${what}`);
  }
  for (const flag of profilers) {
    if (options[camel(flag)] !== undefined) {
      throw new BuildError("unimplemented", `Cannot use flag "${flag}": this daemon has no such profiler`, {
        hint: "start it with node --cpu-prof or --heap-prof",
      });
    }
  }
}

function readOptions(options: Readonly<Record<string, unknown>>): DaemonFlags {
  const text = (name: string): string | undefined => (typeof options[name] === "string" ? options[name] : undefined);
  const list = (name: string): string[] | undefined =>
    Array.isArray(options[name]) ? options[name].map(String) : undefined;
  return {
    addresses: list("addr"),
    root: text("root"),
    configPath: text("config"),
    debug: readBoolean("--debug", options["debug"]) ?? readBoolean("--trace", options["trace"]),
    logLevel: text("logLevel"),
    logFormat: text("logFormat"),
    group: text("group"),
    debugAddress: text("debugaddr"),
    otelSocketPath: text("otelSocketPath"),
    tls: { cert: text("tlscert"), key: text("tlskey"), ca: text("tlscacert") },
    allowInsecureEntitlements: list("allowInsecureEntitlement"),
    cdi: {
      disabled: readBoolean("--cdi-disabled", options["cdiDisabled"]),
      specDirectories: list("cdiSpecDir"),
    },
    worker: {
      enabled: options["ociWorker"] === "auto" ? "auto" : readBoolean("--oci-worker", options["ociWorker"]),
      labels: readLabels(list("ociWorkerLabels")),
      snapshotter: text("ociWorkerSnapshotter"),
      platforms: list("ociWorkerPlatform"),
      network: text("ociWorkerNet"),
      cniConfigPath: text("ociCniConfigPath"),
      cniBinaryPath: text("ociCniBinaryDir"),
      cniPoolSize: readCount("--oci-cni-pool-size", text("ociCniPoolSize")),
      binary: text("ociWorkerBinary"),
      maxParallelism: readCount("--oci-max-parallelism", text("ociMaxParallelism")),
      gc: readBoolean("--oci-worker-gc", options["ociWorkerGc"]),
      gcKeepStorage: text("ociWorkerGcKeepstorage"),
    },
    proxyNetwork: readBoolean("--proxy-network", options["proxyNetwork"]),
    idleTimeout: text("idleTimeout"),
    fsck: options["fsck"] === true,
    version: options["version"] === true,
  };
}

function readBoolean(flag: string, value: unknown): boolean | undefined {
  if (value === undefined || typeof value === "boolean") return value;
  if (value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw new BuildError("invalid_argument", `Cannot read flag "${flag}=${spelled(value)}": neither true nor false`);
}

/** A flag's value as it was written. */
function spelled(value: unknown): string {
  return typeof value === "string" || typeof value === "boolean" ? `${value}` : JSON.stringify(value);
}

function readCount(flag: string, value: string | undefined): number | undefined {
  if (value === undefined || /^\d+$/.test(value)) return value === undefined ? undefined : Number(value);
  throw new BuildError("invalid_argument", `Cannot read flag "${flag}=${value}": not a whole number`);
}

function readLabels(labels: readonly string[] | undefined): Record<string, string> | undefined {
  if (labels === undefined) return undefined;
  return Object.fromEntries(
    labels.map((label) => {
      const at = label.indexOf("=");
      if (at <= 0) throw new BuildError("invalid_argument", `Cannot read label "${label}": not key=value`);
      return [label.slice(0, at), label.slice(at + 1)];
    }),
  );
}
