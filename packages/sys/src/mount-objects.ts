import { closeSync } from "node:fs";
import { AT_EMPTY_PATH, AT_FDCWD } from "./at-calls.ts";
import { type FilePath, NativeCall, pathArgument } from "./native-call.ts";

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
export const MOUNT_ATTR_NOATIME = 0x10;

// The same numbers on every architecture.
const SYS_open_tree = 428;
const SYS_move_mount = 429;
const SYS_fsopen = 430;
const SYS_fsconfig = 431;
const SYS_fsmount = 432;
const SYS_mount_setattr = 442;

const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const AT_RECURSIVE = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;

const openTree = new NativeCall("open_tree", "long syscall(long, int, const char *, unsigned int)");
const moveMount = new NativeCall(
  "move_mount",
  "long syscall(long, int, const char *, int, const char *, unsigned int)",
);
const fsopen = new NativeCall("fsopen", "long syscall(long, const char *, unsigned int)");
const fsconfig = new NativeCall("fsconfig", "long syscall(long, int, unsigned int, const char *, const char *, int)");
const fsmount = new NativeCall("fsmount", "long syscall(long, int, unsigned int, unsigned int)");
const mountSetattr = new NativeCall(
  "mount_setattr",
  "long syscall(long, int, const char *, unsigned int, const void *, size_t)",
);

/**
 * A mount that is not yet attached anywhere; invisible to everyone else, and gone when it is disposed unattached.
 *
 * With this interface of the kernel a read-only mount is never writable for an instant, and overlay's lower directories
 * are given one by one, so their number is not limited by the one page that `mount(2)` has for options.
 */
export class DetachedMount implements Disposable {
  readonly #fd: number;
  #open = true;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** A copy of what is mounted at a path (or is an open directory), with what is mounted below it if `recursive`. */
  static clone(source: FilePath | number, options: { readonly recursive: boolean }): DetachedMount {
    const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (options.recursive ? AT_RECURSIVE : 0);
    return new DetachedMount(
      typeof source === "number"
        ? openTree.call(undefined, SYS_open_tree, source, "", flags | AT_EMPTY_PATH)
        : openTree.call(source, SYS_open_tree, AT_FDCWD, pathArgument(source), flags),
    );
  }

  /**
   * A new instance of a file system.
   *
   * @param parameters In order; a value of undefined is a flag. @param attributes `MOUNT_ATTR_…`.
   */
  static async create(
    type: string,
    parameters: readonly (readonly [key: string, value: string | undefined])[],
    attributes: number,
  ): Promise<DetachedMount> {
    const context = fsopen.call(type, SYS_fsopen, type, FSOPEN_CLOEXEC);
    try {
      for (const [key, value] of parameters) {
        const command = value === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
        const text = value === undefined ? null : pathArgument(value);
        fsconfig.call(`${key}=${value ?? ""}`, SYS_fsconfig, context, command, key, text, 0);
      }
      await fsconfig.callAsync(type, SYS_fsconfig, context, FSCONFIG_CMD_CREATE, null, null, 0);
      return new DetachedMount(fsmount.call(type, SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes));
    } finally {
      closeSync(context);
    }
  }

  /** Sets attributes on this mount, and on those below it if `recursive`. */
  setAttributes(set: number, options: { readonly recursive: boolean }): void {
    const attributes = BigUint64Array.of(BigInt(set), 0n, 0n, 0n);
    const flags = AT_EMPTY_PATH | (options.recursive ? AT_RECURSIVE : 0);
    mountSetattr.call(undefined, SYS_mount_setattr, this.#fd, "", flags, attributes, attributes.byteLength);
  }

  /** Attaches it over an open directory (or file, for a mount of a file). */
  attach(target: number): void {
    const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    moveMount.call(undefined, SYS_move_mount, this.#fd, "", target, "", flags);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }
}
