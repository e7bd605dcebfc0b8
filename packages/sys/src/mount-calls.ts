import { type FilePath, NativeCall, pathArgument } from "./native-call.ts";

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_REMOUNT = 32;
export const MS_MANDLOCK = 64;
export const MS_DIRSYNC = 128;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_UNBINDABLE = 0x20000;
export const MS_PRIVATE = 0x40000;
export const MS_SLAVE = 0x80000;
export const MS_SHARED = 0x100000;
export const MS_RELATIME = 0x200000;
export const MS_STRICTATIME = 0x1000000;

export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

/** The arguments of `mount(2)`. */
export interface MountArguments {
  readonly source: FilePath;
  readonly target: FilePath;
  readonly type?: string;
  readonly flags: number;
  /** At most one page, or the kernel cuts it off. */
  readonly data?: string;
}

const mountCall = new NativeCall(
  "mount",
  "int mount(const char *, const char *, const char *, unsigned long, const char *)",
);
const umountCall = new NativeCall("umount2", "int umount2(const char *, int)");

export function mountSync(args: MountArguments): void {
  mountCall.call(args.target, ...nativeMountArguments(args));
}

/** As {@linkcode mountSync}, off this thread. */
export async function mount(args: MountArguments): Promise<void> {
  await mountCall.callAsync(args.target, ...nativeMountArguments(args));
}

function nativeMountArguments(args: MountArguments): unknown[] {
  return [pathArgument(args.source), pathArgument(args.target), args.type ?? null, args.flags, args.data ?? null];
}

export function umountSync(target: FilePath, flags: number): void {
  umountCall.call(target, pathArgument(target), flags);
}

/** As {@linkcode umountSync}, off this thread. */
export async function umount(target: FilePath, flags: number): Promise<void> {
  await umountCall.callAsync(target, pathArgument(target), flags);
}
