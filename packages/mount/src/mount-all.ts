import { closeSync, constants, openSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  DetachedMount,
  hasErrno,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_BIND,
  MS_NOATIME,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  mount as mountCall,
  O_PATH,
  OpenFile,
  openInRoot,
} from "@buildkit-ts/sys";
import { mountFuseOverlay } from "./fuse-overlay.ts";
import type { Mount } from "./mount.ts";
import {
  type ParsedMountOptions,
  parseMountOptions,
  splitLowerDirectories,
  unescapeOverlayPath,
} from "./mount-options.ts";
import { unmountAll } from "./unmount.ts";

/** The kernel's limit for the text of mount options. */
const PAGE_BYTES = 4096;

/**
 * Mounts a list at a directory (or file, for bind mounts of files), in order. If one fails, those before it are undone.
 *
 * @throws {BuildError} `failed_precondition` with the kernel's error as cause.
 */
export async function mountAll(
  mounts: readonly Mount[],
  target: string,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  options.signal.throwIfAborted();
  const mounted: Mount[] = [];
  try {
    for (const mount of mounts) {
      options.signal.throwIfAborted();
      await mountOne(mount, target);
      mounted.push(mount);
    }
  } catch (error) {
    if (mounted.length > 0) await unmountAll(target);
    throw error;
  }
}

async function mountOne(mount: Mount, target: string): Promise<void> {
  try {
    const parsed = parseMountOptions(mount.options);
    using place = openMountPoint(target, mount.target);
    if ((parsed.flags & MS_BIND) !== 0 || mount.type === "bind") bind(mount, parsed, place.fd);
    else if (mount.type === "overlay") await overlay(parsed, place.fd);
    else if (mount.type === "fuse-overlayfs")
      await mountFuseOverlay(parsed.data, `/proc/${process.pid}/fd/${place.fd}`);
    else await mountFileSystem(mount, parsed, place.fd);
  } catch (error) {
    if (error instanceof BuildError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new BuildError(
      "failed_precondition",
      `Cannot mount ${mount.type} "${mount.source}" at "${target}${mount.target ?? ""}": ${text}`,
      {
        cause: error,
        ...(hasErrno(error, "EPERM") && { hint: "Mounting needs CAP_SYS_ADMIN in this mount namespace" }),
      },
    );
  }
}

function openMountPoint(target: string, below: string | undefined): OpenFile {
  const root = openSync(target, O_PATH);
  if (below === undefined || below === "" || below === "/") return new OpenFile(root);
  try {
    // The tree that is mounted already may hold symbolic links that lead elsewhere.
    return new OpenFile(openInRoot(root, below, { flags: O_PATH }));
  } finally {
    closeSync(root);
  }
}

const attributes = [
  [MS_RDONLY, MOUNT_ATTR_RDONLY],
  [MS_NOSUID, MOUNT_ATTR_NOSUID],
  [MS_NODEV, MOUNT_ATTR_NODEV],
  [MS_NOEXEC, MOUNT_ATTR_NOEXEC],
  [MS_NOATIME, MOUNT_ATTR_NOATIME],
] as const;

function mountAttributes(flags: number): number {
  return attributes.reduce((set, [flag, attribute]) => ((flags & flag) === 0 ? set : set | attribute), 0);
}

function bind(mount: Mount, { flags }: ParsedMountOptions, place: number): void {
  const recursive = (flags & MS_REC) !== 0;
  using clone = DetachedMount.clone(mount.source, { recursive });
  const set = mountAttributes(flags);
  // Recursively: a read-only bind mount whose submounts can be written to is a surprise that nobody wants.
  if (set !== 0) clone.setAttributes(set, { recursive });
  clone.attach(place);
}

async function overlay({ flags, data }: ParsedMountOptions, place: number): Promise<void> {
  const parameters = overlayParameters(data);
  try {
    using instance = await DetachedMount.create("overlay", parameters, mountAttributes(flags));
    instance.attach(place);
  } catch (error) {
    // Before 6.7 overlay knows no `lowerdir+`, and before 6.5 its paths here had a limit of 256 bytes.
    if (!hasErrno(error, "EINVAL")) throw error;
    await overlayByMountCall({ flags, data }, place);
  }
}

function overlayParameters(data: readonly string[]): [key: string, value: string | undefined][] {
  return data.flatMap((option): [string, string | undefined][] => {
    const equals = option.indexOf("=");
    if (equals < 0) return [[option, undefined]];
    const [key, value] = [option.slice(0, equals), option.slice(equals + 1)];
    if (key === "lowerdir") return splitLowerDirectories(value).map((path) => ["lowerdir+", path]);
    return [[key, key === "upperdir" || key === "workdir" ? unescapeOverlayPath(value) : value]];
  });
}

async function overlayByMountCall({ flags, data }: ParsedMountOptions, place: number): Promise<void> {
  await using opened = new AsyncDisposableStack();
  let text = data.join(",");
  if (Buffer.byteLength(text) >= PAGE_BYTES) {
    // Descriptors are short names: some 200 of them fit into a page, without changing the working directory.
    text = data
      .map((option) => {
        if (!option.startsWith("lowerdir=")) return option;
        const short = splitLowerDirectories(option.slice("lowerdir=".length)).map((path) => {
          const directory = opened.use(new OpenFile(openSync(path, O_PATH | constants.O_DIRECTORY)));
          return `/proc/self/fd/${directory.fd}`;
        });
        return `lowerdir=${short.join(":")}`;
      })
      .join(",");
  }
  await mountCall({
    source: "overlay",
    target: `/proc/self/fd/${place}`,
    type: "overlay",
    flags,
    data: checkLength(text),
  });
}

async function mountFileSystem(mount: Mount, { flags, data }: ParsedMountOptions, place: number): Promise<void> {
  const text = checkLength(data.join(","));
  const target = `/proc/self/fd/${place}`;
  await mountCall({ source: mount.source, target, type: mount.type, flags, ...(text !== "" && { data: text }) });
}

function checkLength(text: string): string {
  if (Buffer.byteLength(text) < PAGE_BYTES) return text;
  throw new BuildError(
    "resource_exhausted",
    `Cannot mount: ${Buffer.byteLength(text)} bytes of options exceed the kernel's page`,
  );
}
