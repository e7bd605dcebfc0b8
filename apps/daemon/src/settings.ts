import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { defaultUnpackLimits, type UnpackLimits } from "@buildkit-ts/compression";
import type { GcRule } from "@buildkit-ts/control";
import { BuildError } from "@buildkit-ts/errdefs";
import type { NetworkSettings } from "@buildkit-ts/network";
import type { ConfigFile } from "./config-file.ts";
import { defaultPaths } from "./default-paths.ts";
import type { DaemonFlags } from "./flags.ts";
import { gcRules } from "./gc-rules.ts";
import { type LogLevel, parseLogLevel } from "./logger.ts";
import { durationMs, parseDiskSpace } from "./quantities.ts";

/** Everything that was configured, with defaults filled in: a flag wins over the file, the file over the default. */
export interface Settings {
  /** The configuration file; undefined where there is none. */
  readonly configPath: string | undefined;
  readonly addresses: readonly string[];
  readonly root: string;
  /** Where the daemon collects spans of steps. */
  readonly traceSocketPath: string;
  readonly log: { readonly level: LogLevel; readonly format: "text" | "json" };
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string | undefined } | undefined;
  readonly entitlements: ReadonlySet<string>;
  /** No directories where devices are turned off. */
  readonly devices: { readonly directories: readonly string[]; readonly autoAllowed: readonly string[] };
  readonly idleTimeoutMs: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly snapshotter: "auto" | "overlayfs" | "fuse-overlayfs" | "native";
  readonly platforms: readonly string[] | undefined;
  readonly runtimeBinary: string | undefined;
  readonly cgroupParent: string;
  readonly maxParallelism: number;
  readonly network: NetworkSettings;
  /** Empty where collection is turned off. */
  readonly gcRules: readonly GcRule[];
  readonly registries: ConfigFile["registries"];
  /** Blobs in transfer at a time for each registry. */
  readonly maxRegistryConcurrency: number;
  /** What layers and archives may become. */
  readonly unpack: UnpackLimits;
  readonly dns: ConfigFile["dns"];
  /** Whether every build is held to proxies. */
  readonly proxyNetwork: boolean;
  /** Where files are whose members every provenance has. */
  readonly provenanceDirectory: string;
  readonly history: { readonly maxAgeMs: number; readonly maxEntries: number };
  readonly frontends: ConfigFile["frontends"];
}

/** @throws {BuildError} naming the flag or key that cannot be used. */
export function resolveSettings(flags: DaemonFlags, file: ConfigFile): Settings {
  refuseMissing(flags, file);
  // The runtime and helpers that we start have other working directories.
  const root = resolve(flags.root ?? file.root ?? defaultPaths.root);
  const devices = resolveDevices(flags, file);
  return {
    configPath: file.path,
    addresses: flags.addresses ?? file.grpc.addresses ?? [defaultPaths.address],
    root,
    // Steps see it at one place in any case, so each daemon has its own unless told otherwise.
    traceSocketPath: flags.otelSocketPath ?? file.otelSocketPath ?? join(root, "otel-grpc.sock"),
    log: resolveLog(flags, file),
    uid: file.grpc.uid,
    gid: flags.group === undefined ? file.grpc.gid : resolveGroup(flags.group),
    tls: resolveTls(flags, file),
    entitlements: resolveEntitlements(
      flags.allowInsecureEntitlements ?? file.entitlements ?? [],
      devices.directories.length > 0,
    ),
    devices,
    idleTimeoutMs: flags.idleTimeout === undefined ? undefined : durationMs(flags.idleTimeout, "--idle-timeout"),
    ...resolveWorker(flags.worker, file.worker),
    gcRules: resolveGcRules(flags, file, root),
    registries: file.registries,
    maxRegistryConcurrency: resolveRegistryConcurrency(file),
    unpack: resolveUnpack(file, root),
    dns: file.dns,
    provenanceDirectory: file.provenanceDirectory || defaultPaths.provenanceDirectory,
    proxyNetwork: flags.proxyNetwork ?? file.proxyNetwork ?? false,
    history: resolveHistory(file),
    frontends: file.frontends,
  };
}

function refuseMissing(flags: DaemonFlags, file: ConfigFile): void {
  if ((flags.worker.enabled ?? file.worker.enabled) === false) {
    throw new BuildError("failed_precondition", "Cannot start: no worker found, rebuild the buildkit daemon?", {
      hint: "the OCI worker is turned off, and this daemon has no other",
    });
  }
  if (flags.debugAddress !== undefined && flags.debugAddress !== "") {
    throw new BuildError(
      "unimplemented",
      `Cannot use flag "--debugaddr=${flags.debugAddress}": this daemon has no debug endpoint`,
    );
  }
}

type WorkerSettings = Pick<
  Settings,
  "labels" | "snapshotter" | "platforms" | "runtimeBinary" | "cgroupParent" | "maxParallelism" | "network"
>;

function resolveWorker(flags: DaemonFlags["worker"], file: ConfigFile["worker"]): WorkerSettings {
  return {
    labels: { ...file.labels, ...flags.labels },
    snapshotter: resolveSnapshotter(flags.snapshotter ?? file.snapshotter ?? "auto"),
    platforms: flags.platforms ?? file.platforms,
    runtimeBinary: flags.binary ?? file.binary,
    cgroupParent: file.cgroupParent ?? "",
    maxParallelism: flags.maxParallelism ?? file.maxParallelism ?? 0,
    network: resolveNetwork(flags, file),
  };
}

function resolveNetwork(flags: DaemonFlags["worker"], file: ConfigFile["worker"]): NetworkSettings {
  return {
    mode: flags.network ?? file.network ?? "auto",
    cniConfigPath: flags.cniConfigPath ?? file.cniConfigPath ?? "/etc/buildkit/cni.json",
    cniBinaryDirectory: flags.cniBinaryPath ?? file.cniBinaryPath ?? "/opt/cni/bin",
    cniPoolSize: flags.cniPoolSize ?? file.cniPoolSize ?? 0,
    bridge: { name: file.bridgeName ?? "buildkit0", subnet: file.bridgeSubnet ?? "10.10.0.0/16" },
  };
}

function resolveUnpack({ unpack }: ConfigFile, root: string): UnpackLimits {
  const { maxRatio, allowanceBytes, maxEntries } = defaultUnpackLimits;
  return {
    maxRatio: unpack.maxRatio ?? maxRatio,
    allowanceBytes:
      unpack.allowance === undefined ? allowanceBytes : parseDiskSpace(unpack.allowance, "unpack.allowance", root),
    maxEntries: unpack.maxEntries ?? maxEntries,
  };
}

function resolveRegistryConcurrency(file: ConfigFile): number {
  const limit = file.maxRegistryConcurrency ?? 4;
  if (limit >= 1 && Number.isInteger(limit)) return limit;
  throw new BuildError(
    "invalid_argument",
    `maxRegistryConcurrency must be greater than zero; set to ${limit} in the configuration file`,
  );
}

function resolveHistory(file: ConfigFile): Settings["history"] {
  return {
    maxAgeMs: durationMs(file.history.maxAge ?? "48h", "history.maxAge"),
    maxEntries: file.history.maxEntries ?? 50,
  };
}

function resolveGcRules(flags: DaemonFlags, file: ConfigFile, root: string): GcRule[] {
  if ((flags.worker.gc ?? file.worker.gc) === false) return [];
  return gcRules(
    file.worker,
    flags.worker.gcKeepStorage,
    statSync(root, { throwIfNoEntry: false }) === undefined ? "/" : root,
  );
}

function resolveLog(flags: DaemonFlags, file: ConfigFile): Settings["log"] {
  const name = (flags.debug ?? file.debug) === true ? "debug" : (flags.logLevel ?? file.log.level ?? "info");
  const level = parseLogLevel(name);
  if (level === undefined)
    throw new BuildError("invalid_argument", `Cannot use log level "${name}": not a valid level`);
  const format = flags.logFormat ?? file.log.format ?? "text";
  if (format !== "text" && format !== "json") {
    throw new BuildError("invalid_argument", `Cannot use log format "${format}": neither text nor json`);
  }
  return { level, format };
}

function resolveGroup(group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  try {
    return Number(execFileSync("getent", ["group", group], { encoding: "utf8" }).split(":")[2]);
  } catch (error) {
    throw new BuildError("invalid_argument", `Cannot use group "${group}": no such group`, { cause: error });
  }
}

function resolveTls(flags: DaemonFlags, file: ConfigFile): Settings["tls"] {
  const cert = flags.tls.cert ?? file.grpc.tls.cert;
  const key = flags.tls.key ?? file.grpc.tls.key;
  const ca = flags.tls.ca ?? file.grpc.tls.ca;
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new BuildError("invalid_argument", "you must specify key and cert file if one is specified");
  }
  return { cert, key, ca };
}

const cdiDirectories: readonly string[] = ["/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"];

function resolveDevices(flags: DaemonFlags, file: ConfigFile): Settings["devices"] {
  const isDisabled = flags.cdi.disabled ?? file.cdi.disabled ?? false;
  return {
    directories: isDisabled ? [] : (flags.cdi.specDirectories ?? file.cdi.specDirectories ?? cdiDirectories),
    autoAllowed: file.cdi.autoAllowed ?? [],
  };
}

function resolveEntitlements(names: readonly string[], hasDevices: boolean): Set<string> {
  for (const name of names) {
    if (name !== "network.host" && name !== "security.insecure" && name !== "device") {
      throw new BuildError("invalid_argument", `invalid entitlement : ${name}`);
    }
  }
  // Builds still have to be granted each device; a daemon that shall give none has no descriptions of devices.
  return new Set([...names, ...(hasDevices ? ["device"] : [])]);
}

function resolveSnapshotter(name: string): Settings["snapshotter"] {
  const known = ["auto", "overlayfs", "fuse-overlayfs", "native"] as const;
  const found = known.find((one) => one === name);
  if (found !== undefined) return found;
  throw new BuildError(
    "unimplemented",
    `Cannot use snapshotter "${name}": this daemon has overlayfs, fuse-overlayfs and native`,
  );
}
