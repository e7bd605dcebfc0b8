import { opspb } from "@buildkit-ts/api";
import type { LinuxResources, ProcessMeta, ProcessTrace } from "@buildkit-ts/executor";
import type { LlbOperation } from "../definition/llb-operation.ts";
import { invalid } from "../definition/validate-op.ts";

/** What steps find programs by, unless they are told. */
export const defaultPath: string = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The same on Windows. */
export const windowsPath: string = String.raw`c:\Windows\System32;c:\Windows;C:\Windows\System32\WindowsPowerShell\v1.0`;

/** What an exec op asks the executor for. */
export function createProcessMeta(
  op: opspb.ExecOp,
  options: {
    readonly operation: LlbOperation;
    readonly readonlyRootfs: boolean;
    readonly secretEnv: readonly string[];
    readonly trace: ProcessTrace | undefined;
  },
): ProcessMeta {
  const { meta } = op;
  if (meta === undefined) throw invalid("invalid exec op with no meta");
  const { operation, readonlyRootfs, secretEnv, trace } = options;
  const env = [...meta.env, ...proxyEnv(meta.proxyEnv)];
  const resources = operation.linuxResources;
  return {
    args: meta.args,
    env: [...(operation.platform.os === "windows" ? env : withDefault(env, "PATH", defaultPath)), ...secretEnv],
    user: meta.user,
    cwd: meta.cwd,
    hostname: meta.hostname,
    extraHosts: meta.extraHosts.map(({ Host: host, IP: ip }) => ({ host, ip })),
    ulimits: meta.ulimit.map(({ Name: name, Soft: soft, Hard: hard }) => ({
      name,
      soft: Number(soft),
      hard: Number(hard),
    })),
    cgroupParent: meta.cgroupParent,
    network: networkOf(op.network),
    security: securityOf(op.security),
    readonlyRootfs,
    removeMountStubsRecursive: meta.removeMountStubsRecursive,
    tty: false,
    ...(trace !== undefined && { trace }),
    ...(resources !== undefined && { resources: createResources(resources) }),
  };
}

/** Adds a variable that is not set. */
export function withDefault(env: readonly string[], name: string, value: string): string[] {
  return env.some((entry) => entry.startsWith(`${name}=`)) ? [...env] : [...env, `${name}=${value}`];
}

/** Programs disagree on the case of these names, so both are set. */
function proxyEnv(proxy: opspb.ProxyEnv | undefined): string[] {
  const values = [
    ["http_proxy", proxy?.httpProxy],
    ["https_proxy", proxy?.httpsProxy],
    ["ftp_proxy", proxy?.ftpProxy],
    ["no_proxy", proxy?.noProxy],
    ["all_proxy", proxy?.allProxy],
  ] as const;
  return values.flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [`${name.toUpperCase()}=${value}`, `${name}=${value}`],
  );
}

/** @throws {BuildError} `invalid_argument`, for a number that means nothing. */
export function networkOf(mode: opspb.NetMode): ProcessMeta["network"] {
  switch (mode) {
    case opspb.NetMode.UNSET:
      return "sandbox";
    case opspb.NetMode.HOST:
      return "host";
    case opspb.NetMode.NONE:
      return "none";
    default:
      throw invalid(`unknown network mode ${mode}`);
  }
}

/** @throws {BuildError} `invalid_argument`, for a number that means nothing. */
export function securityOf(mode: opspb.SecurityMode): ProcessMeta["security"] {
  switch (mode) {
    case opspb.SecurityMode.SANDBOX:
      return "sandbox";
    case opspb.SecurityMode.INSECURE:
      return "insecure";
    default:
      throw invalid(`invalid security mode ${mode}`);
  }
}

function createResources(limits: opspb.LinuxResources): LinuxResources {
  const given = {
    memoryBytes: Number(limits.memory),
    memorySwapBytes: Number(limits.memorySwap),
    cpuShares: Number(limits.cpuShares),
    cpuPeriod: Number(limits.cpuPeriod),
    cpuQuota: Number(limits.cpuQuota),
    cpusetCpus: limits.cpusetCpus,
    cpusetMems: limits.cpusetMems,
  };
  // Zero and empty mean no limit.
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== 0 && value !== ""));
}
