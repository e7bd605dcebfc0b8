export type { Mount } from "./mount.ts";
export { mountAll } from "./mount-all.ts";
export { type MountInfo, parseMountInfo, readMountInfo } from "./mount-info.ts";
export {
  escapeOverlayPath,
  type ParsedMountOptions,
  parseMountOptions,
  splitLowerDirectories,
  unescapeOverlayPath,
} from "./mount-options.ts";
export {
  type MountTemporarilyOptions,
  mountTemporarily,
  type TemporaryMount,
  withMounts,
} from "./mount-temporarily.ts";
export { unmountAll, unmountBelow } from "./unmount.ts";
