import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import type { Platform } from "@buildkit-ts/oci";
import type { Constraints } from "./constraints.ts";
import { compareBytes, encodeOp, InputList, invalid } from "./op-encoding.ts";
import type { EncodeContext, EncodedVertex, LlbVertex, Output } from "./vertex.ts";

/** A mount of a step; what it holds comes from `source`, scratch if undefined. */
export interface ExecMount {
  readonly target: string;
  readonly source: Output | undefined;
  readonly readonly: boolean;
  readonly selector: string;
  readonly cache: { readonly id: string; readonly sharing: "shared" | "private" | "locked" } | undefined;
  readonly tmpfs: { readonly sizeBytes: number } | undefined;
  readonly noOutput: boolean;
  readonly contentCache: "default" | "on" | "off";
}

export interface ExecSecret {
  readonly id: string;
  /** Path of the file; none, if it is only for the environment. */
  readonly target?: string;
  /** Name of the environment variable. */
  readonly env?: string;
  /** 0o400 by default. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly optional?: boolean;
}

export interface ExecSsh {
  readonly id?: string;
  /** Path of the socket; `/run/buildkit/ssh_agent.N` by default. */
  readonly target?: string;
  /** 0o600 by default. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly optional?: boolean;
}

export interface ProxyEnv {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  readonly ftpProxy?: string;
  readonly noProxy?: string;
  readonly allProxy?: string;
}

/** How the process of a step is started. */
export interface ExecProcess {
  readonly args: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  readonly cwd: string;
  readonly user: string;
  readonly hostname: string;
  readonly cgroupParent: string;
  readonly network: "sandbox" | "host" | "none";
  readonly security: "sandbox" | "insecure";
  readonly extraHosts: readonly { readonly host: string; readonly ip: string }[];
  readonly ulimits: readonly { readonly name: string; readonly soft: bigint; readonly hard: bigint }[];
  readonly validExitCodes: readonly number[] | undefined;
  readonly proxy: ProxyEnv | undefined;
}

export interface ExecParts {
  readonly process: ExecProcess;
  readonly mounts: readonly ExecMount[];
  readonly secrets: readonly ExecSecret[];
  readonly ssh: readonly ExecSsh[];
  readonly devices: readonly { readonly name: string; readonly optional?: boolean }[];
  readonly constraints: Constraints;
}

const contentCaches = { default: 0, on: 1, off: 2 } as const;
const sharings = { shared: 0, private: 1, locked: 2 } as const;
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A step that runs a process. */
export class ExecVertex implements LlbVertex {
  readonly inputs: readonly Output[];
  readonly #parts: ExecParts;
  readonly #mounts: readonly ExecMount[];

  constructor(parts: ExecParts) {
    if (parts.process.args.length === 0) throw invalid("arguments are required");
    if (parts.process.cwd === "") throw invalid("working directory is required");
    for (const m of parts.mounts) {
      if (m.tmpfs !== undefined && m.source !== undefined) throw invalid("tmpfs mounts must use scratch");
    }
    this.#parts = parts;
    this.#mounts = parts.mounts.toSorted((a, b) => compareBytes(a.target, b.target));
    this.inputs = [...new Set(this.#mounts.flatMap((m) => (m.source === undefined ? [] : [m.source])))];
  }

  /** What is at the mount after the step has run; undefined if there is nothing that could differ from scratch. */
  outputOf(mount: ExecMount, platform: Platform | undefined): Output | undefined {
    if (mount.readonly) return mount.source;
    const known = platform === undefined ? {} : { platform };
    if (mount.tmpfs !== undefined) {
      return { vertex: this, index: 0, unusable: `tmpfs mount for ${mount.target} can't be used as a parent` };
    }
    if (mount.noOutput) {
      const unusable = `mount marked no-output and ${mount.target} can't be used as a parent`;
      return { vertex: this, index: 0, unusable };
    }
    const index = this.#mounts.filter(hasOutput).indexOf(mount);
    return { vertex: this, index, ...known, ...(index < 0 && { unusable: `invalid mount: ${mount.target}` }) };
  }

  encode(context: EncodeContext): EncodedVertex {
    const { process, secrets, ssh, devices, constraints } = this.#parts;
    const caps = new Set<string>();
    const sockets = ssh.map((s, i) => ({ ...s, target: s.target || `/run/buildkit/ssh_agent.${i}` }));
    const list = new InputList(context);
    const exec = create(opspb.ExecOpSchema, {
      meta: { ...this.#meta(context, caps, sockets[0]?.target) },
      network: { sandbox: opspb.NetMode.UNSET, host: opspb.NetMode.HOST, none: opspb.NetMode.NONE }[process.network],
      security: process.security === "insecure" ? opspb.SecurityMode.INSECURE : opspb.SecurityMode.SANDBOX,
      mounts: [...mountsToProto(this.#mounts, list), ...secrets.flatMap(secretMount), ...sockets.map(sshMount)],
      secretenv: secrets.flatMap((s) =>
        s.env === undefined ? [] : [{ ID: s.id, name: s.env, optional: s.optional ?? false }],
      ),
      cdiDevices: devices.map((d) => ({ name: d.name, optional: d.optional ?? false })),
    });
    for (const cap of execCaps(this.#parts)) caps.add(cap);
    const op = { case: "exec", value: exec } as const;
    return encodeOp(context, { op, inputs: list.inputs, constraints, caps: [...caps], platformSpecific: true });
  }

  #meta(context: EncodeContext, caps: Set<string>, sshSocket: string | undefined): opspb.Meta {
    const { process } = this.#parts;
    const env = new Map(process.env);
    if (sshSocket !== undefined && !env.has("SSH_AUTH_SOCK")) env.set("SSH_AUTH_SOCK", sshSocket);
    const { supports, platform } = context.defaults;
    if (supports?.("exec.meta.setsdefaultpath") === true) caps.add("exec.meta.setsdefaultpath");
    else if (supports !== undefined && platform.os !== "windows" && !env.has("PATH")) env.set("PATH", defaultPath);
    return create(opspb.MetaSchema, {
      args: [...process.args],
      env: Array.from(env, ([key, value]) => `${key}=${value}`),
      cwd: process.cwd,
      user: process.user,
      hostname: process.hostname,
      cgroupParent: process.cgroupParent,
      removeMountStubsRecursive: true,
      validExitCodes: [...(process.validExitCodes ?? [])],
      extraHosts: process.extraHosts.map((h) => ({ Host: h.host, IP: h.ip })),
      ulimit: process.ulimits.map((u) => ({ Name: u.name, Soft: u.soft, Hard: u.hard })),
      ...(process.proxy !== undefined && { proxyEnv: process.proxy }),
    });
  }
}

function hasOutput(m: ExecMount): boolean {
  return !m.noOutput && !m.readonly && m.cache === undefined && m.tmpfs === undefined;
}

function mountsToProto(mounts: readonly ExecMount[], list: InputList): opspb.Mount[] {
  let outputs = 0n;
  return mounts.map((m) =>
    create(opspb.MountSchema, {
      input: list.indexOf(m.source),
      dest: m.target,
      readonly: m.readonly,
      output: hasOutput(m) ? outputs++ : -1n,
      selector: m.selector,
      contentCache: contentCaches[m.contentCache],
      ...(m.cache !== undefined && {
        mountType: opspb.MountType.CACHE,
        cacheOpt: { ID: m.cache.id, sharing: sharings[m.cache.sharing] },
      }),
      ...(m.tmpfs !== undefined && {
        mountType: opspb.MountType.TMPFS,
        TmpfsOpt: { size: BigInt(m.tmpfs.sizeBytes) },
      }),
    }),
  );
}

function secretMount(s: ExecSecret): opspb.Mount[] {
  if (s.target === undefined) return [];
  const { id, uid = 0, gid = 0, mode = 0o400, optional = false } = s;
  const secretOpt = { ID: id, uid, gid, mode, optional };
  return [create(opspb.MountSchema, { input: -1n, dest: s.target, mountType: opspb.MountType.SECRET, secretOpt })];
}

function sshMount(s: ExecSsh & { readonly target: string }): opspb.Mount {
  const { id = "", uid = 0, gid = 0, mode = 0o600, optional = false } = s;
  const SSHOpt = { ID: id, uid, gid, mode, optional };
  return create(opspb.MountSchema, { input: -1n, dest: s.target, mountType: opspb.MountType.SSH, SSHOpt });
}

function execCaps({ process, mounts, secrets, ssh, devices, constraints }: ExecParts): string[] {
  const when = (condition: boolean, ...caps: readonly string[]): readonly string[] => (condition ? caps : []);
  return [
    "exec.meta.base",
    ...when(process.validExitCodes !== undefined, "exec.validexitcode"),
    ...when(process.ulimits.length > 0, "exec.meta.ulimit"),
    ...when(constraints.linuxResources !== undefined, "exec.meta.linux.resources"),
    ...when(process.network !== "sandbox", "exec.meta.network"),
    ...when(process.security === "insecure", "exec.meta.security"),
    ...when(process.proxy !== undefined, "exec.meta.proxyenv"),
    ...mounts.flatMap(mountCaps),
    ...when(secrets.length > 0, "exec.mount.secret"),
    ...when(
      secrets.some((s) => s.env !== undefined),
      "exec.secretenv",
    ),
    ...when(ssh.length > 0, "exec.mount.ssh"),
    ...when(devices.length > 0, "exec.meta.cdi"),
  ];
}

function mountCaps(m: ExecMount): string[] {
  const caps: string[] = [];
  if (m.selector !== "") caps.push("exec.mount.selector");
  if (m.cache !== undefined) caps.push("exec.mount.cache", "exec.mount.cache.sharing");
  else if (m.tmpfs !== undefined) {
    caps.push("exec.mount.tmpfs");
    if (m.tmpfs.sizeBytes > 0) caps.push("exec.mount.tmpfs.size");
  } else if (m.source !== undefined) caps.push("exec.mount.bind");
  if (m.contentCache !== "default") caps.push("exec.mount.cache.content");
  return caps;
}
