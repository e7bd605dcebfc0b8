import { lstatSync } from "node:fs";
import type { ContainerEdits, DeviceNode } from "@buildkit-ts/devices";
import { BuildError } from "@buildkit-ts/errdefs";
import type { RuntimeDevice, RuntimeHooks, RuntimeMount, RuntimeSpec, RuntimeUser } from "./runtime-spec.ts";

/** A container's spec with what its devices need, in place of what it had under the same names and paths. */
export function applyDeviceEdits(spec: RuntimeSpec, edits: ContainerEdits): RuntimeSpec {
  const { process, linux } = spec;
  const nodes = edits.deviceNodes.map((node) => createNode(node, process.user));
  const added = new Set(nodes.map(({ device }) => device.path));
  const kept = (linux.devices ?? []).filter(({ path }) => !added.has(path));
  const names = new Set(edits.env.map(nameOf));
  return {
    ...spec,
    process: {
      ...process,
      env: [...process.env.filter((entry) => !names.has(nameOf(entry))), ...edits.env],
      user: {
        ...process.user,
        additionalGids: [...new Set([...process.user.additionalGids, ...edits.additionalGids])],
      },
    },
    mounts: withMounts(spec.mounts, edits.mounts.map(createMount)),
    linux: {
      ...linux,
      ...(kept.length + nodes.length > 0 && { devices: [...kept, ...nodes.map(({ device }) => device)] }),
      resources: { ...linux.resources, devices: [...linux.resources.devices, ...nodes.flatMap(({ rule }) => rule)] },
    },
    ...(edits.hooks.length > 0 && { hooks: createHooks(edits.hooks) }),
  };
}

function nameOf(entry: string): string {
  return entry.split("=", 1)[0] ?? "";
}

/** Parents before children, as the runtime mounts them in order; the step's own order is kept otherwise. */
function withMounts(mounts: readonly RuntimeMount[], added: readonly RuntimeMount[]): RuntimeMount[] {
  const replaced = new Set(added.map(({ destination }) => destination));
  const depth = ({ destination }: RuntimeMount): number => destination.split("/").filter((part) => part !== "").length;
  return [
    ...mounts.filter(({ destination }) => !replaced.has(destination)),
    ...added.toSorted((a, b) => depth(a) - depth(b)),
  ];
}

function createMount(mount: ContainerEdits["mounts"][number]): RuntimeMount {
  return {
    destination: mount.containerPath,
    type: mount.type === "" ? "bind" : mount.type,
    source: mount.hostPath,
    options: mount.options.length === 0 && mount.type === "" ? ["rbind"] : mount.options,
  };
}

function createHooks(hooks: ContainerEdits["hooks"]): RuntimeHooks {
  const byName: Record<string, object[]> = {};
  for (const { hookName, ...hook } of hooks) byName[hookName] = [...(byName[hookName] ?? []), hook];
  return byName;
}

const formatBits = 0o170000;
const typesByFormat: Readonly<Record<number, "b" | "c" | "p">> = { 0o060000: "b", 0o020000: "c", 0o010000: "p" };

function createNode(
  node: DeviceNode,
  user: RuntimeUser,
): { readonly device: RuntimeDevice; readonly rule: RuntimeSpec["linux"]["resources"]["devices"] } {
  const { type, major, minor } = node.type !== undefined && node.major !== undefined ? known(node) : lookUp(node);
  const uid = node.uid ?? (user.uid > 0 ? user.uid : undefined);
  const gid = node.gid ?? (user.gid > 0 ? user.gid : undefined);
  const device = {
    path: node.path,
    type,
    major,
    minor,
    ...(node.fileMode !== undefined && { fileMode: node.fileMode }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  };
  const access = node.permissions ?? "rwm";
  return { device, rule: type === "b" || type === "c" ? [{ allow: true, type, major, minor, access }] : [] };
}

type NodeNumbers = Pick<RuntimeDevice, "type" | "major" | "minor">;

function known({ type = "c", major = 0, minor = 0 }: DeviceNode): NodeNumbers {
  return { type, major, minor };
}

function lookUp(node: DeviceNode): NodeNumbers {
  const path = node.hostPath ?? node.path;
  const stat = lstatSync(path, { throwIfNoEntry: false });
  const type = stat === undefined ? undefined : typesByFormat[stat.mode & formatBits];
  if (stat === undefined || type === undefined || (node.type !== undefined && node.type !== type)) {
    throw new BuildError("failed_precondition", `Cannot give device "${path}" to a step: the host has no such device`);
  }
  // As the kernel packs device numbers for user space.
  const major = ((stat.rdev >>> 8) & 0xfff) | 0;
  const minor = (stat.rdev & 0xff) | ((stat.rdev >>> 12) & 0xfff00);
  return { type, major, minor };
}
