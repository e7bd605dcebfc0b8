import { quote } from "@buildkit-ts/gotext";
import { type ExecSecret, type ExecSsh, type MountOptions, mkdir, type State, scratch } from "@buildkit-ts/llb";
import type { RunInstruction } from "../instructions/instruction.ts";
import type { RunMount } from "../instructions/run-mount.ts";
import { invalid } from "../text/located-error.ts";
import type { BuildStage } from "./build-stage.ts";
import type { Dispatch } from "./dispatch-context.ts";
import type { ConvertedMounts } from "./dispatch-run.ts";
import { baseName, cleanPath, joinPath } from "./target-path.ts";

/** Converts the mounts of a RUN, in order. */
export function convertMounts(dispatch: Dispatch<RunInstruction>, mounts: readonly RunMount[]): ConvertedMounts {
  const out: { mounts: MountOptions[]; secrets: ExecSecret[]; ssh: ExecSsh[] } = { mounts: [], secrets: [], ssh: [] };
  for (const [i, given] of mounts.entries()) {
    const mount = given.from === "" && given.type === "cache" ? { ...given, from: "scratch" } : given;
    const source = mount.from === "" ? undefined : dispatch.sources[i];
    if (source !== undefined && !source.isDispatched)
      throw invalid(
        `cannot mount from stage ${quote(mount.from)} to ${quote(mount.target)}, stage needs to be defined before current command`,
      );
    if (mount.type === "secret") out.secrets.push(convertSecret(dispatch, mount));
    else if (mount.type === "ssh") out.ssh.push(convertSsh(dispatch, mount));
    else out.mounts.push(convertMount(dispatch, mount, source));
  }
  return out;
}

function convertMount(dispatch: Dispatch<RunInstruction>, mount: RunMount, from: BuildStage | undefined): MountOptions {
  const { stage, context } = dispatch;
  const target = targetOf(stage, mount);
  (from === undefined ? stage.contextPaths : from.paths).add(joinPath("/", mount.source));
  const source = mount.type === "tmpfs" ? scratch() : (from?.state ?? context.buildContext);
  return {
    target,
    ...selectPath(source, mount),
    ...accessOf(mount, context.world.supports("exec.mount.bind.readwrite-nooutput")),
    ...(mount.type === "tmpfs" && { tmpfs: { sizeBytes: Number(mount.sizeLimit) } }),
    ...(mount.type === "cache" && { cache: cacheOf(mount, context.settings.cacheNamespace) }),
  };
}

/** The part of the source that is mounted; one with an owner is a directory made for it. */
function selectPath(source: State, mount: RunMount): Pick<MountOptions, "source" | "selector"> {
  const path = joinPath("/", mount.source);
  if (path !== "/") return { source, selector: path };
  if (mount.uid === undefined && mount.gid === undefined && mount.mode === undefined) return { source };
  return { source: withOwnedDirectory(source, mount), selector: "/cache" };
}

function accessOf(mount: RunMount, canDropWrites: boolean): Pick<MountOptions, "readonly" | "noOutput"> {
  if (mount.readOnly) return { readonly: true };
  return mount.type === "bind" && canDropWrites ? { noOutput: true } : {};
}

function targetOf(stage: BuildStage, mount: RunMount): string {
  const isAbsolute = cleanPath(mount.target).startsWith("/");
  const target = isAbsolute ? mount.target : joinPath("/", stage.state.cwd, mount.target);
  if (target === "/") throw invalid(`invalid mount target ${quote(target)}`);
  return target;
}

function cacheOf(mount: RunMount, namespace: string): NonNullable<MountOptions["cache"]> {
  const id = mount.id === "" ? cleanPath(mount.target) : mount.id;
  return { id: `${namespace}/${id}`, sharing: mount.sharing === "" ? "shared" : mount.sharing };
}

function withOwnedDirectory(source: State, { uid = 0, gid = 0, mode = 0o755 }: RunMount): State {
  return source.file(mkdir("/cache", mode, { owner: { user: uid, group: gid } }), {
    customName: "[internal] setting cache mount permissions",
  });
}

function convertSecret({ stage, instruction }: Dispatch<RunInstruction>, mount: RunMount): ExecSecret {
  const id = mount.source || mount.id || (mount.target === "" ? "" : baseName(mount.target));
  if (id === "") throw invalid("one of source, target required");
  const { secrets } = stage.outline;
  if (!secrets.has(id)) secrets.set(id, { location: instruction.location, required: mount.required });
  const target = mount.target || (mount.env === undefined ? `/run/secrets/${baseName(id)}` : undefined);
  return {
    id,
    ...(target !== undefined && { target }),
    ...(mount.env !== undefined && { env: mount.env }),
    ...(!mount.required && { optional: true }),
    ...ownership(mount, 0o400),
  };
}

function convertSsh({ stage, instruction }: Dispatch<RunInstruction>, mount: RunMount): ExecSsh {
  if (mount.source !== "") throw invalid("ssh does not support source");
  const id = mount.id || "default";
  const { ssh } = stage.outline;
  if (!ssh.has(id)) ssh.set(id, { location: instruction.location, required: mount.required });
  return {
    ...(mount.id !== "" && { id: mount.id }),
    ...(mount.target !== "" && { target: mount.target }),
    ...(!mount.required && { optional: true }),
    ...ownership(mount, 0o600),
  };
}

function ownership({ uid, gid, mode }: RunMount, defaultMode: number): { uid?: number; gid?: number; mode?: number } {
  if (uid === undefined && gid === undefined && mode === undefined) return {};
  return { uid: uid ?? 0, gid: gid ?? 0, mode: mode ?? defaultMode };
}
