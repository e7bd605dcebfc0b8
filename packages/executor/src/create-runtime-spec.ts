import { existsSync } from "node:fs";
import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import type { NetworkJoin } from "@buildkit-ts/network";
import { hostPlatform } from "@buildkit-ts/oci";
import { daemonCapabilities, defaultCapabilities } from "./container-capabilities.ts";
import type { LinuxResources, ProcessMeta } from "./executor.ts";
import { insecureDevices } from "./insecure-devices.ts";
import type { RuntimeLinux, RuntimeMount, RuntimeProcess, RuntimeSpec, RuntimeUser } from "./runtime-spec.ts";
import { createSeccompProfile } from "./seccomp-profile.ts";
import { traceSocketDestination, withTraceEnvironment } from "./trace-environment.ts";

/** What a container's `config.json` is made of. */
export interface RuntimeSpecRequest {
  readonly id: string;
  readonly meta: ProcessMeta;
  readonly user: RuntimeUser;
  readonly rootPath: string;
  /** Mounts of the step, already prepared, parents before children. */
  readonly mounts: readonly RuntimeMount[];
  readonly hostsPath: string;
  readonly resolvConfPath: string;
  readonly network: NetworkJoin;
  readonly host: RuntimeHost;
}

/** What the daemon's configuration and machine say about all containers. */
export interface RuntimeHost {
  /** Share the daemon's pid namespace and /proc: for daemons that may not mount a proc of their own. */
  readonly noProcessSandbox: boolean;
  /** Used where a step names none; empty for `/buildkit`. */
  readonly defaultCgroupParent: string;
  readonly cgroupNamespace: boolean;
  readonly seccomp: boolean;
  readonly apparmorProfile: string;
  readonly oomScoreAdj: number | undefined;
  /** The socket on which the daemon collects spans; empty for none. */
  readonly traceSocket: string;
}

/** The hostname of containers that are given none. */
export const defaultHostname = "buildkitsandbox";

/** Builds the OCI spec of one step. Pure, but for looking up which devices and capabilities this machine has. */
export function createRuntimeSpec(request: RuntimeSpecRequest): RuntimeSpec {
  const { meta } = request;
  return {
    ociVersion: "1.0.2",
    process: createProcess(request),
    root: { path: request.rootPath, readonly: meta.readonlyRootfs },
    hostname: meta.hostname === "" ? defaultHostname : meta.hostname,
    mounts: lastPerDestination([...systemMounts(request), ...request.mounts]),
    linux: createLinux(request),
  };
}

function createProcess({ meta, user, host }: RuntimeSpecRequest): RuntimeProcess {
  const insecure = meta.security === "insecure";
  const capabilities = insecure ? [...new Set([...defaultCapabilities, ...daemonCapabilities()])] : defaultCapabilities;
  return {
    terminal: meta.tty,
    user,
    args: meta.args,
    env: dedupeEnv(host.traceSocket === "" ? meta.env : withTraceEnvironment(meta.env, meta.trace)),
    cwd: meta.cwd === "" ? "/" : meta.cwd,
    capabilities: {
      bounding: capabilities,
      effective: capabilities,
      permitted: capabilities,
      ...(insecure && { inheritable: daemonCapabilities(), ambient: daemonCapabilities() }),
    },
    ...(meta.ulimits.length > 0 && { rlimits: meta.ulimits.map(createRlimit) }),
    // Steps use sudo and su; BuildKit lets set-uid programs work as well.
    noNewPrivileges: false,
    ...(host.apparmorProfile !== "" && !insecure && { apparmorProfile: host.apparmorProfile }),
    ...(host.oomScoreAdj !== undefined && { oomScoreAdj: host.oomScoreAdj }),
  };
}

const limitNames = new Set(
  "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK".split(" "),
);

function createRlimit(limit: ProcessMeta["ulimits"][number]): { type: string; soft: number; hard: number } {
  const name = limit.name.toUpperCase();
  if (!limitNames.has(name)) {
    throw new BuildError("invalid_argument", `Cannot set ulimit "${limit.name.slice(0, 100)}": no such limit`);
  }
  return { type: `RLIMIT_${name}`, soft: limit.soft, hard: limit.hard };
}

/** Later values win but keep the first one's place; entries without `=` remove a value. */
function dedupeEnv(env: readonly string[]): string[] {
  const byName = new Map<string, string>();
  for (const entry of env) {
    const name = entry.split("=", 1)[0] ?? "";
    if (entry.includes("=")) byName.set(name, entry);
    else byName.delete(name);
  }
  return [...byName.values()];
}

function systemMounts({ meta, hostsPath, resolvConfPath, host }: RuntimeSpecRequest): RuntimeMount[] {
  const access = meta.security === "insecure" ? "rw" : "ro";
  const sealed = ["nosuid", "noexec", "nodev"];
  return [
    host.noProcessSandbox
      ? { destination: "/proc", type: "bind", source: "/proc", options: ["rbind"] }
      : { destination: "/proc", type: "proc", source: "proc", options: sealed },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...sealed, "mode=1777", "size=65536k"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: sealed },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...sealed, access] },
    bindReadonly(resolvConfPath, "/etc/resolv.conf"),
    bindReadonly(hostsPath, "/etc/hosts"),
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [access, ...sealed] },
    ...(host.traceSocket === ""
      ? []
      : [{ destination: traceSocketDestination, type: "bind", source: host.traceSocket, options: ["rbind", "ro"] }]),
  ];
}

function bindReadonly(source: string, destination: string): RuntimeMount {
  return { destination, type: "bind", source, options: ["nosuid", "noexec", "nodev", "rbind", "ro"] };
}

/** A mount of the step replaces a default one at the same place, and takes its turn. */
function lastPerDestination(mounts: readonly RuntimeMount[]): RuntimeMount[] {
  return [...new Map(mounts.map((mount) => [mount.destination, mount])).values()];
}

const maskedPaths = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
  "/proc/scsi",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

function createLinux(request: RuntimeSpecRequest): RuntimeLinux {
  const { meta, host, network } = request;
  const insecure = meta.security === "insecure";
  // A bound /proc is the machine's own: the runtime must not mount over parts of it.
  const visible = (path: string): boolean => !host.noProcessSandbox || !path.startsWith("/proc");
  const namespaces = [
    ...(host.noProcessSandbox ? [] : [{ type: "pid" }]),
    { type: "ipc" },
    { type: "uts" },
    { type: "mount" },
    ...(network.kind === "host" ? [] : [{ type: "network", ...(network.kind === "path" && { path: network.path }) }]),
    ...(host.cgroupNamespace ? [{ type: "cgroup" }] : []),
  ];
  return {
    cgroupsPath: cgroupsPath(meta.cgroupParent === "" ? host.defaultCgroupParent : meta.cgroupParent, request.id),
    namespaces,
    maskedPaths: insecure ? [] : maskedPaths.filter(visible),
    readonlyPaths: insecure ? [] : readonlyPaths.filter(visible),
    ...(insecure && { devices: insecureDevices() }),
    resources: createResources(meta.resources, insecure),
    ...(host.seccomp &&
      !insecure && { seccomp: createSeccompProfile(defaultCapabilities, hostPlatform().architecture) }),
  };
}

/** systemd's `x.slice:prefix:` spelling gets the id appended; anything else is a directory. */
function cgroupsPath(parent: string, id: string): string {
  if (parent === "") return posix.join("/buildkit", id);
  if (parent.includes(".slice") && parent.endsWith(":")) return parent + id;
  // Joined beneath "/" first, so that ".." in a step's cgroup parent cannot climb.
  return posix.join("/", parent, "buildkit", id);
}

function createResources(limits: LinuxResources | undefined, insecure: boolean): RuntimeLinux["resources"] {
  const devices = insecure
    ? ([
        { allow: true, type: "c", access: "rwm" },
        { allow: true, type: "b", access: "rwm" },
      ] as const)
    : ([{ allow: false, access: "rwm" }] as const);
  if (limits === undefined) return { devices };
  const { memoryBytes, memorySwapBytes, cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems } = limits;
  const memory = {
    ...(memoryBytes !== undefined && { limit: memoryBytes }),
    ...(memorySwapBytes !== undefined && { swap: memorySwapBytes }),
  };
  const cpu = {
    ...(cpuShares !== undefined && { shares: cpuShares }),
    ...(cpuQuota !== undefined && { quota: cpuQuota }),
    ...(cpuPeriod !== undefined && { period: cpuPeriod }),
    ...(cpusetCpus !== undefined && { cpus: cpusetCpus }),
    ...(cpusetMems !== undefined && { mems: cpusetMems }),
  };
  return {
    devices,
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
  };
}

/** What this machine offers to all containers; looked up once by the daemon. */
export function detectRuntimeHost(options: Partial<RuntimeHost> = {}): RuntimeHost {
  return {
    noProcessSandbox: false,
    defaultCgroupParent: "",
    // On v1 hierarchies with unusual mounts a cgroup namespace makes the runtime fail with EINVAL.
    cgroupNamespace: existsSync("/proc/self/ns/cgroup") && existsSync("/sys/fs/cgroup/cgroup.subtree_control"),
    seccomp: existsSync("/proc/sys/kernel/seccomp/actions_avail"),
    apparmorProfile: "",
    oomScoreAdj: undefined,
    traceSocket: "",
    ...options,
  };
}
