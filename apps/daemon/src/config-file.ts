import { readFileSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import { parse, TomlError } from "smol-toml";

type Table = Readonly<Record<string, unknown>>;

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
  readonly history: { readonly maxAge: string | number | undefined; readonly maxEntries: number | undefined };
  readonly provenanceDirectory: string | undefined;
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
  const reader = new Reader(path, "", document);
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
    "provenanceEnvDir",
    "proxyNetwork",
    "cache",
  ]);
  reader.refuse("proxyNetwork", "the proxy network");
  const dns = reader.find("dns");
  return {
    path: text === "" ? undefined : path,
    debug: reader.boolean("debug"),
    root: reader.text("root"),
    entitlements: reader.texts("insecure-entitlements"),
    cdi: readCdi(reader.table("cdi")),
    log: { level: reader.table("log").text("level"), format: reader.table("log").text("format") },
    grpc: readGrpc(reader.table("grpc")),
    worker: readWorker(reader.table("worker")),
    registries: readRegistries(reader.table("registry")),
    dns:
      dns === undefined
        ? undefined
        : {
            nameservers: dns.texts("nameservers") ?? [],
            options: dns.texts("options") ?? [],
            searchDomains: dns.texts("searchDomains") ?? [],
          },
    history: {
      maxAge: reader.table("history").quantity("maxAge"),
      maxEntries: reader.table("history").number("maxEntries"),
    },
    provenanceDirectory: reader.text("provenanceEnvDir"),
    frontends: readFrontends(reader.table("frontend")),
  };
}

function readFrontends(reader: Reader): ConfigFile["frontends"] {
  reader.allow(["dockerfile.v0", "gateway.v0"]);
  const gateway = reader.table("gateway.v0");
  gateway.allow(["enabled", "allowedRepositories"]);
  return {
    dockerfile: reader.table("dockerfile.v0").boolean("enabled") ?? true,
    gateway: gateway.boolean("enabled") ?? true,
    allowedRepositories: gateway.texts("allowedRepositories") ?? [],
  };
}

function readCdi(reader: Reader): ConfigFile["cdi"] {
  reader.allow(["disabled", "specDirs", "autoAllowed"]);
  return {
    disabled: reader.boolean("disabled"),
    specDirectories: reader.texts("specDirs"),
    autoAllowed: reader.texts("autoAllowed"),
  };
}

function readGrpc(reader: Reader): ConfigFile["grpc"] {
  reader.allow(["address", "debugAddress", "uid", "gid", "securityDescriptor", "tls"]);
  const tls = reader.table("tls");
  return {
    addresses: reader.texts("address"),
    uid: reader.number("uid"),
    gid: reader.number("gid"),
    tls: { cert: tls.text("cert"), key: tls.text("key"), ca: tls.text("ca") },
  };
}

function readWorker(workers: Reader): ConfigFile["worker"] {
  workers.allow(["oci", "containerd"]);
  if (workers.table("containerd").boolean("enabled") === true) {
    throw new BuildError(
      "unimplemented",
      `Cannot use configuration "${workers.path}": this daemon has no containerd worker`,
    );
  }
  const reader = workers.table("oci");
  reader.refuse("rootless", "rootless mode");
  reader.refuse("noProcessSandbox", "rootless mode");
  reader.refuse("selinux", "SELinux labels");
  reader.refuse("apparmor-profile", "AppArmor profiles");
  reader.refuse("proxySnapshotterPath", "proxy snapshotters");
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
    gcPolicies: reader.tables("gcpolicy").map((policy) => ({
      all: policy.boolean("all") ?? false,
      filters: policy.texts("filters") ?? [],
      keepDuration: policy.quantity("keepDuration"),
      reservedSpace: policy.quantity("reservedSpace") ?? policy.quantity("keepBytes"),
      maxUsedSpace: policy.quantity("maxUsedSpace"),
      minFreeSpace: policy.quantity("minFreeSpace"),
    })),
  };
}

function readRegistries(reader: Reader): Map<string, RegistrySetting> {
  const registries = new Map<string, RegistrySetting>();
  for (const host of reader.keys()) {
    const registry = reader.table(host);
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

/** One table of the file; every failure names the file and the key. */
class Reader {
  readonly path: string;
  readonly #prefix: string;
  readonly #table: Table;

  constructor(path: string, prefix: string, table: Table) {
    this.path = path;
    this.#prefix = prefix;
    this.#table = table;
  }

  keys(): string[] {
    return Object.keys(this.#table);
  }

  /** Refuses keys that nobody reads: a misspelt one would silently have no effect. */
  allow(keys: readonly string[]): void {
    const unknown = this.keys().find((key) => !keys.includes(key));
    if (unknown !== undefined) throw this.#invalid(unknown, `no such key; known are ${keys.join(", ")}`);
  }

  refuse(key: string, what: string): void {
    const value = this.#table[key];
    if (value === undefined || value === false || value === "") return;
    throw new BuildError(
      "unimplemented",
      `Cannot use configuration "${this.path}", key ${this.#prefix}${key}: this daemon lacks ${what}`,
    );
  }

  text(key: string): string | undefined {
    return this.#typed(key, "string", (value): value is string => typeof value === "string");
  }

  boolean(key: string): boolean | undefined {
    return this.#typed(key, "boolean", (value): value is boolean => typeof value === "boolean");
  }

  number(key: string): number | undefined {
    return this.#typed(key, "number", (value): value is number => typeof value === "number");
  }

  quantity(key: string): string | number | undefined {
    return this.#typed(key, "number or text", (value) => typeof value === "string" || typeof value === "number");
  }

  texts(key: string): string[] | undefined {
    return this.#typed(
      key,
      "list of texts",
      (value): value is string[] => Array.isArray(value) && value.every((item) => typeof item === "string"),
    );
  }

  strings(key: string): Record<string, string> | undefined {
    const table = this.find(key);
    return table === undefined
      ? undefined
      : Object.fromEntries(table.keys().map((name) => [name, table.text(name) ?? ""]));
  }

  find(key: string): Reader | undefined {
    const table = this.#typed(key, "table", isTable);
    return table === undefined ? undefined : new Reader(this.path, `${this.#prefix}${key}.`, table);
  }

  table(key: string): Reader {
    return this.find(key) ?? new Reader(this.path, `${this.#prefix}${key}.`, {});
  }

  tables(key: string): Reader[] {
    const all =
      this.#typed(key, "list of tables", (value): value is Table[] => Array.isArray(value) && value.every(isTable)) ??
      [];
    return all.map((table) => new Reader(this.path, `${this.#prefix}${key}.`, table));
  }

  #typed<T>(key: string, what: string, is: (value: unknown) => value is T): T | undefined {
    const value = Object.hasOwn(this.#table, key) ? this.#table[key] : undefined;
    if (value === undefined || is(value)) return value;
    throw this.#invalid(key, `not a ${what}`);
  }

  #invalid(key: string, why: string): BuildError {
    return new BuildError(
      "invalid_argument",
      `Cannot read configuration "${this.path}", key ${this.#prefix}${key}: ${why}`,
    );
  }
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
