import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readlinkSync,
  truncateSync,
} from "node:fs";
import {
  AT_FDCWD,
  type FileTimes,
  findXattr,
  listXattrs,
  removeXattr,
  SystemError,
  setXattr,
  utimesAt,
  utimesOf,
} from "@buildkit-ts/sys";
import { type FuseRequest, FuseWriter } from "./fuse-codec.ts";
import type { FuseNodes } from "./fuse-nodes.ts";
import { opcodes } from "./fuse-opcodes.ts";

/** What is done for a request; gives the body of the answer, or undefined for what wants none. */
export type Operation = (request: FuseRequest, nodes: FuseNodes) => Buffer | undefined;

const nothing = Buffer.alloc(0);
const ERANGE = 34;
const ENODATA = 61;
const ENOTSUP = 95;
const entryFlags = { mode: 1, uid: 2, gid: 4, size: 8, atime: 16, mtime: 32, handle: 64, atimeNow: 128, mtimeNow: 256 };

function attributes(nodes: FuseNodes, node: bigint): Buffer {
  return new FuseWriter().zeros(16).attributes(nodes.stat(node)).finish();
}

const setAttributes: Operation = ({ node, body }, nodes) => {
  const valid = body.u32();
  const has = (flag: number): boolean => (valid & flag) !== 0;
  const fd = Number(body.skip(4).u64());
  const size = Number(body.u64());
  body.skip(8);
  const [atime, mtime] = [body.u64(), body.u64()];
  body.skip(8);
  const [atimeRest, mtimeRest] = [body.u32(), body.u32()];
  body.skip(4);
  const mode = body.u32();
  const [uid, gid] = [body.skip(4).u32(), body.u32()];
  const path = nodes.path(node);
  const stat = nodes.stat(node);
  if (has(entryFlags.size)) {
    if (has(entryFlags.handle)) ftruncateSync(fd, size);
    else truncateSync(path, size);
  }
  if (has(entryFlags.uid) || has(entryFlags.gid))
    chownSync(path, has(entryFlags.uid) ? uid : Number(stat.uid), has(entryFlags.gid) ? gid : Number(stat.gid));
  if (has(entryFlags.mode)) chmodSync(path, mode & 0o7777);
  const now = BigInt(Date.now()) * 1_000_000n;
  const time = (seconds: bigint, rest: number, flags: { set: number; now: number }): bigint | undefined =>
    has(flags.now) ? now : has(flags.set) ? seconds * 1_000_000_000n + BigInt(rest) : undefined;
  const accessNs = time(atime, atimeRest, { set: entryFlags.atime, now: entryFlags.atimeNow });
  const modificationNs = time(mtime, mtimeRest, { set: entryFlags.mtime, now: entryFlags.mtimeNow });
  if (accessNs !== undefined || modificationNs !== undefined) setTimes(nodes, node, { accessNs, modificationNs });
  return attributes(nodes, node);
};

function setTimes(nodes: FuseNodes, node: bigint, times: FileTimes): void {
  const stat = nodes.stat(node);
  if (stat.isFile() || stat.isDirectory()) withFile(nodes, node, (fd) => utimesOf(fd, times));
  else utimesAt({ fd: AT_FDCWD, path: readlinkSync(nodes.path(node)) }, times);
}

/** Extended attributes and times have no calls for files that were opened with `O_PATH`. */
function withFile<T>(nodes: FuseNodes, node: bigint, use: (fd: number) => T): T {
  const stat = nodes.stat(node);
  if (!stat.isFile() && !stat.isDirectory()) throw new SystemError(ENOTSUP, "xattr");
  const fd = openSync(nodes.path(node), constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** A value, or only its size where the caller asks how large it is. */
function sized(value: Buffer, wanted: number): Buffer {
  if (wanted === 0) return new FuseWriter().u32(value.length).u32(0).finish();
  if (value.length > wanted) throw new SystemError(ERANGE, "xattr");
  return value;
}

/** Operations on what a file has besides its bytes. */
export const attributeOperations: readonly (readonly [opcode: number, Operation])[] = [
  [opcodes.getattr, ({ node }, nodes) => attributes(nodes, node)],
  [opcodes.setattr, setAttributes],
  [
    opcodes.setxattr,
    ({ node, body }, nodes) => {
      const size = body.u32();
      const name = body.skip(4).name().toString();
      const value = Buffer.from(body.data(size));
      withFile(nodes, node, (fd) => setXattr(fd, name, value));
      return nothing;
    },
  ],
  [
    opcodes.getxattr,
    ({ node, body }, nodes) => {
      const size = body.u32();
      const name = body.skip(4).name().toString();
      const value = withFile(nodes, node, (fd) => findXattr(fd, name));
      if (value === undefined) throw new SystemError(ENODATA, "getxattr");
      return sized(value, size);
    },
  ],
  [
    opcodes.listxattr,
    ({ node, body }, nodes) => {
      const names = withFile(nodes, node, (fd) => listXattrs(fd));
      return sized(Buffer.from(names.map((name) => `${name}\0`).join("")), body.u32());
    },
  ],
  [
    opcodes.removexattr,
    ({ node, body }, nodes) => {
      const name = body.name().toString();
      withFile(nodes, node, (fd) => removeXattr(fd, name));
      return nothing;
    },
  ],
];
