import { readFileSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import { parse, TomlError } from "smol-toml";
import { ConfigReader, type Table } from "./config-reader.ts";

/** One `[[…gcpolicy]]` as written. */
export interface GcPolicySetting {
  readonly all: boolean;
  readonly filters: readonly string[];
  readonly keepDuration: string | number | undefined;
  readonly reservedSpace: string | number | undefined;
  readonly maxUsedSpace: string | number | undefined;
  readonly minFreeSpace: string | number | undefined;
}

export interface RegistrySetting {
  readonly mirrors: readonly string[];
  readonly http: boolean | undefined;
  readonly insecure: boolean | undefined;
  readonly ca: readonly string[];
  readonly keypairs: readonly { readonly key: string; readonly cert: string }[];
  readonly tlsConfigDirs: readonly string[];
}

/** `buildkitd.toml`, with what is absent left undefined. */
export interface ConfigFile {
  /** Undefined where there is no file. */
  readonly path: string | undefined;
  readonly debug: boolean | undefined;
  readonly root: string | undefined;
  readonly entitlements: readonly string[] | undefined;
  readonly cdi: {
    readonly disabled: boolean | undefined;
    readonly specDirectories: readonly string[] | undefined;
    readonly autoAllowed: readonly string[] | undefined;
  };
  readonly otelSocketPath: string | undefined;
  readonly log: { readonly level: string | undefined; readonly format: string | undefined };
  readonly grpc: {
    readonly addresses: readonly string[] | undefined;
    readonly uid: number | undefined;
    readonly gid: number | undefined;
    readonly tls: {
      readonly cert: string | undefined;
      readonly key: string | undefined;
      readonly ca: string | undefined;
    };
  };
  readonly worker: {
    readonly enabled: boolean | undefined;
    readonly labels: Readonly<Record<string, string>> | undefined;
    readonly platforms: readonly string[] | undefined;
    readonly snapshotter: string | undefined;
    readonly binary: string | undefined;
    readonly cgroupParent: string | undefined;
    readonly network: string | undefined;
    readonly cniConfigPath: string | undefined;
    readonly cniBinaryPath: string | undefined;
    readonly cniPoolSize: number | undefined;
    readonly bridgeName: string | undefined;
    readonly bridgeSubnet: string | undefined;
    readonly maxParallelism: number | undefined;
    readonly gc: boolean | undefined;
    readonly reservedSpace: string | number | undefined;
    readonly maxUsedSpace: string | number | undefined;
    readonly minFreeSpace: string | number | undefined;
    readonly gcPolicies: readonly GcPolicySetting[];
  };
  readonly registries: ReadonlyMap<string, RegistrySetting>;
  readonly dns:
    | {
        readonly nameservers: readonly string[];
        readonly options: readonly string[];
        readonly searchDomains: readonly string[];
      }
    | undefined;
  readonly maxRegistryConcurrency: number | undefined;
  readonly unpack: {
    readonly maxRatio: number | undefined;
    readonly allowance: string | number | undefined;
    readonly maxEntries: number | undefined;
  };
  readonly history: { readonly maxAge: string | number | undefined; readonly maxEntries: number | undefined };
  readonly provenanceDirectory: string | undefined;
  readonly proxyNetwork: boolean | undefined;
  readonly frontends: {
    readonly dockerfile: boolean;
    readonly gateway: boolean;
    /** Repositories of images that may be run as frontends; all if empty. */
    readonly allowedRepositories: readonly string[];
  };
}

/**
 * Reads the configuration file; one that is not there is empty.
 *
 * @throws {BuildError} `invalid_argument`, with file, line and key.
 */
export function readConfigFile(path: string): ConfigFile {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      throw new BuildError("invalid_argument", `Cannot read configuration "${path}": ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
  return parseConfig(text, path);
}

/** @throws {BuildError} `invalid_argument`, with file, line and key. */
export function parseConfig(text: string, path: string): ConfigFile {
  let document: Table;
  try {
    document = parse(text) as Table;
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = ""] = error.message.split("\n");
    throw new BuildError(
      "invalid_argument",
      `Cannot parse configuration "${path}:${error.line}:${error.column}": ${reason}`,
      { cause: error },
    );
  }
  const reader = new ConfigReader(path, "", document);
  reader.allow([
    "debug",
    "trace",
    "root",
    "insecure-entitlements",
    "log",
    "grpc",
    "otel",
    "cdi",
    "worker",
    "registry",
    "dns",
    "history",
    "frontend",
    "system",
    "unpack",
    "provenanceEnvDir",
    "proxyNetwork",
    "cache",
  ]);
  const otel = reader.table("otel").allow(["socketPath"]);
  reader.refuse("cache", "signed caches");
  const log = reader.table("log").allow(["level", "format"]);
  // How long platforms are remembered is not asked: they are looked up each time, in less than a millisecond.
  const system = reader.table("system").allow(["platformsCacheMaxAge", "maxRegistryConcurrency"]);
  const unpack = reader.table("unpack").allow(["maxRatio", "allowance", "maxEntries"]);
  const history = reader.table("history").allow(["maxAge", "maxEntries"]);
  return {
    path: text === "" ? undefined : path,
    debug: reader.boolean("debug"),
    root: reader.text("root"),
    entitlements: reader.texts("insecure-entitlements"),
    cdi: readCdi(reader.table("cdi")),
    otelSocketPath: otel.text("socketPath"),
    log: { level: log.text("level"), format: log.text("format") },
    grpc: readGrpc(reader.table("grpc")),
    worker: readWorker(reader.table("worker")),
    registries: readRegistries(reader.table("registry")),
    dns: readDns(reader.find("dns")),
    history: {
      maxAge: history.quantity("maxAge"),
      maxEntries: history.number("maxEntries"),
    },
    maxRegistryConcurrency: system.number("maxRegistryConcurrency"),
    unpack: {
      maxRatio: unpack.number("maxRatio"),
      allowance: unpack.quantity("allowance"),
      maxEntries: unpack.number("maxEntries"),
    },
    provenanceDirectory: reader.text("provenanceEnvDir"),
    proxyNetwork: reader.boolean("proxyNetwork"),
    frontends: readFrontends(reader.table("frontend")),
  };
}

function readDns(reader: ConfigReader | undefined): ConfigFile["dns"] {
  if (reader === undefined) return undefined;
  reader.allow(["nameservers", "options", "searchDomains"]);
  return {
    nameservers: reader.texts("nameservers") ?? [],
    options: reader.texts("options") ?? [],
    searchDomains: reader.texts("searchDomains") ?? [],
  };
}

function readFrontends(reader: ConfigReader): ConfigFile["frontends"] {
  reader.allow(["dockerfile.v0", "gateway.v0"]);
  const gateway = reader.table("gateway.v0").allow(["enabled", "allowedRepositories"]);
  return {
    dockerfile: reader.table("dockerfile.v0").allow(["enabled"]).boolean("enabled") ?? true,
    gateway: gateway.boolean("enabled") ?? true,
    allowedRepositories: gateway.texts("allowedRepositories") ?? [],
  };
}

function readCdi(reader: ConfigReader): ConfigFile["cdi"] {
  reader.allow(["disabled", "specDirs", "autoAllowed"]);
  return {
    disabled: reader.boolean("disabled"),
    specDirectories: reader.texts("specDirs"),
    autoAllowed: reader.texts("autoAllowed"),
  };
}

function readGrpc(reader: ConfigReader): ConfigFile["grpc"] {
  reader.allow(["address", "debugAddress", "uid", "gid", "securityDescriptor", "tls"]);
  const tls = reader.table("tls").allow(["cert", "key", "ca"]);
  return {
    addresses: reader.texts("address"),
    uid: reader.number("uid"),
    gid: reader.number("gid"),
    tls: { cert: tls.text("cert"), key: tls.text("key"), ca: tls.text("ca") },
  };
}

const workerKeys: readonly string[] = [
  "enabled",
  "labels",
  "platforms",
  "snapshotter",
  "rootless",
  "noProcessSandbox",
  "binary",
  "proxySnapshotterPath",
  "defaultCgroupParent",
  "stargzSnapshotter",
  "apparmor-profile",
  "selinux",
  "max-parallelism",
  "userRemapUnsupported",
  "gc",
  "reservedSpace",
  "maxUsedSpace",
  "minFreeSpace",
  "gckeepstorage",
  "gcpolicy",
  "networkMode",
  "cniConfigPath",
  "cniBinaryPath",
  "cniPoolSize",
  "bridgeName",
  "bridgeSubnet",
];

const policyKeys: readonly string[] = [
  "all",
  "filters",
  "keepDuration",
  "keepBytes",
  "reservedSpace",
  "maxUsedSpace",
  "minFreeSpace",
];

function readWorker(workers: ConfigReader): ConfigFile["worker"] {
  workers.allow(["oci", "containerd"]);
  if (workers.table("containerd").boolean("enabled") === true) {
    throw new BuildError(
      "unimplemented",
      `Cannot use configuration "${workers.path}": this daemon has no containerd worker`,
    );
  }
  const reader = workers.table("oci").allow(workerKeys);
  reader.refuse("rootless", "rootless mode");
  reader.refuse("noProcessSandbox", "rootless mode");
  reader.refuse("selinux", "SELinux labels");
  reader.refuse("apparmor-profile", "AppArmor profiles");
  reader.refuse("proxySnapshotterPath", "proxy snapshotters");
  reader.refuse("stargzSnapshotter", "the stargz snapshotter");
  return {
    enabled: reader.boolean("enabled"),
    labels: reader.strings("labels"),
    platforms: reader.texts("platforms"),
    snapshotter: reader.text("snapshotter"),
    binary: reader.text("binary"),
    cgroupParent: reader.text("defaultCgroupParent"),
    network: reader.text("networkMode"),
    cniConfigPath: reader.text("cniConfigPath"),
    cniBinaryPath: reader.text("cniBinaryPath"),
    cniPoolSize: reader.number("cniPoolSize"),
    bridgeName: reader.text("bridgeName"),
    bridgeSubnet: reader.text("bridgeSubnet"),
    maxParallelism: reader.number("max-parallelism"),
    gc: reader.boolean("gc"),
    reservedSpace: reader.quantity("reservedSpace") ?? reader.quantity("gckeepstorage"),
    maxUsedSpace: reader.quantity("maxUsedSpace"),
    minFreeSpace: reader.quantity("minFreeSpace"),
    gcPolicies: reader.tables("gcpolicy").map(readPolicy),
  };
}

function readPolicy(reader: ConfigReader): GcPolicySetting {
  const policy = reader.allow(policyKeys);
  return {
    all: policy.boolean("all") ?? false,
    filters: policy.texts("filters") ?? [],
    keepDuration: policy.quantity("keepDuration"),
    reservedSpace: policy.quantity("reservedSpace") ?? policy.quantity("keepBytes"),
    maxUsedSpace: policy.quantity("maxUsedSpace"),
    minFreeSpace: policy.quantity("minFreeSpace"),
  };
}

function readRegistries(reader: ConfigReader): Map<string, RegistrySetting> {
  const registries = new Map<string, RegistrySetting>();
  for (const host of reader.keys()) {
    const registry = reader.table(host).allow(["mirrors", "http", "insecure", "ca", "keypair", "tlsconfigdir"]);
    registries.set(host, {
      mirrors: registry.texts("mirrors") ?? [],
      http: registry.boolean("http"),
      insecure: registry.boolean("insecure"),
      ca: registry.texts("ca") ?? [],
      keypairs: registry
        .tables("keypair")
        .map((pair) => ({ key: pair.text("key") ?? "", cert: pair.text("cert") ?? "" })),
      tlsConfigDirs: registry.texts("tlsconfigdir") ?? [],
    });
  }
  return registries;
}
