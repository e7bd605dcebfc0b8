export {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  type At,
  chmodAt,
  chownAt,
  encodeDevice,
  type FileTimes,
  fileName,
  linkAt,
  mkdirAt,
  mknodAt,
  openAt,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  readlinkAt,
  renameAt,
  symlinkAt,
  unlinkAt,
  utimesAt,
  utimesOf,
} from "./at-calls.ts";
export { copyFileData } from "./copy-file-data.ts";
export {
  type DeviceNumber,
  FileStat,
  findLstatAt,
  lstatAt,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  statAt,
  statOf,
} from "./file-stat.ts";
export {
  type AbortCheck,
  applyAttributesAt,
  attributesOf,
  type CopyEntryOptions,
  copyEntryAt,
  copyXattrs,
  type FileAttributes,
  openDirectoryAt,
} from "./file-tree.ts";
export { type Koffi, type LibraryHandle, loadKoffi, type NativeFunction } from "./load-koffi.ts";
export { type AllocatorLimits, limitAllocator, releaseFreedMemory } from "./memory-calls.ts";
export {
  MNT_DETACH,
  MNT_FORCE,
  type MountArguments,
  MS_BIND,
  MS_DIRSYNC,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  MS_SHARED,
  MS_SLAVE,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
  mount,
  mountSync,
  UMOUNT_NOFOLLOW,
  umount,
  umountSync,
} from "./mount-calls.ts";
export {
  DetachedMount,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
} from "./mount-objects.ts";
export { type FilePath, NativeCall, pathArgument } from "./native-call.ts";
export { enterNetworkNamespace, processNetworkNamespace } from "./network-namespace.ts";
export { O_PATH, openInRoot } from "./open-in-root.ts";
export {
  becomeSubreaper,
  setParentDeathSignal,
  setUmask,
  syncFileSystem,
  syncFileSystemSync,
  tryLock,
  unlock,
} from "./process-calls.ts";
export { openPseudoTerminal, type PseudoTerminal, setTerminalSize } from "./pseudo-terminal.ts";
export { clearDirectoryAt, removeTreeAt } from "./remove-tree.ts";
export { OpenFile, RootedDirectory, readNames, readNamesUpTo } from "./rooted-directory.ts";
export { findExit, type ProcessExit, type SpawnRequest, spawnProcess } from "./spawn-process.ts";
export { errnoNumber, errnoText, hasErrno, SystemError } from "./system-error.ts";
export { sendDatagram } from "./unix-datagram.ts";
export { findXattr, joinPath, listXattrs, pathOfAt, removeXattr, setXattr, type XattrTarget } from "./xattrs.ts";
