import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  lchownSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { AT_FDCWD, AT_SYMLINK_FOLLOW, linkAt, mknodAt, renameAt } from "@buildkit-ts/sys";
import { attributeOperations, type Operation } from "./fuse-attributes.ts";
import { type FuseRequest, FuseWriter } from "./fuse-codec.ts";
import type { FuseNodes } from "./fuse-nodes.ts";
import { opcodes } from "./fuse-opcodes.ts";

const maxWriteBytes = 128 << 10;
/** As much as a request may be. */
export const requestBytes: number = maxWriteBytes + 4096;
const nothing = Buffer.alloc(0);
const initialize: Operation = ({ body }) => {
  body.skip(8);
  const readAhead = body.u32();
  const asyncRead = 1;
  const bigWrites = 1 << 5;
  return new FuseWriter()
    .u32(7)
    .u32(31)
    .u32(readAhead)
    .u32(asyncRead | bigWrites)
    .u16(16)
    .u16(12)
    .u32(maxWriteBytes)
    .u32(1)
    .zeros(36)
    .finish();
};

/** A new name's file; nothing of it may be remembered, or faults would not be met. */
function entry(nodes: FuseNodes, parent: bigint, name: Buffer): FuseWriter {
  const { id, stat } = nodes.lookUp(parent, name);
  return new FuseWriter().u64(id).zeros(32).attributes(stat);
}

/** The file belongs to whoever asked for it. */
function made({ node, uid, gid }: FuseRequest, nodes: FuseNodes, name: Buffer): FuseWriter {
  if (uid !== 0 || gid !== 0) lchownSync(nodes.childPath(node, name), uid, gid);
  return entry(nodes, node, name);
}

function at(path: Buffer | string): { readonly fd: number; readonly path: Buffer | string } {
  return { fd: AT_FDCWD, path };
}

function handle(fd: number): FuseWriter {
  return new FuseWriter().u64(BigInt(fd)).zeros(8);
}

const readDirectory: Operation = ({ node, body }, nodes) => {
  body.skip(8);
  const offset = Number(body.u64());
  const room = body.u32();
  const names = readdirSync(nodes.path(node), { encoding: "buffer" });
  const writer = new FuseWriter();
  let length = 0;
  for (const [index, name] of names.entries()) {
    if (index < offset) continue;
    const padding = (8 - (name.length % 8)) % 8;
    length += 24 + name.length + padding;
    if (length > room) break;
    // The inode must not be 0; the true one comes with the lookup.
    writer
      .u64(BigInt(index + 2))
      .u64(BigInt(index + 1))
      .u32(name.length)
      .u32(0)
      .bytes(name)
      .zeros(padding);
  }
  return writer.finish();
};

function rename({ node, body }: FuseRequest, nodes: FuseNodes, flags: number | undefined): Buffer {
  const parent = body.u64();
  const how = flags ?? body.u32();
  if (flags === undefined) body.skip(4);
  const [from, to] = [body.name(), body.name()];
  renameAt(at(nodes.childPath(node, from)), at(nodes.childPath(parent, to)), how);
  return nothing;
}

function sync({ body }: FuseRequest): Buffer {
  const fd = Number(body.u64());
  if (body.u32() === 1) fdatasyncSync(fd);
  else fsyncSync(fd);
  return nothing;
}

function release({ body }: FuseRequest): Buffer {
  closeSync(Number(body.u64()));
  return nothing;
}

/** What is done for each of them, in the directory that is shown. */
export const operations: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [opcodes.init, initialize],
  [opcodes.lookup, ({ node, body }, nodes) => entry(nodes, node, body.name()).finish()],
  [
    opcodes.forget,
    ({ node, body }, nodes) => {
      nodes.forget(node, body.u64());
      return undefined;
    },
  ],
  [
    opcodes.batchForget,
    ({ body }, nodes) => {
      const count = body.u32();
      body.skip(4);
      for (let index = 0; index < count; index += 1) nodes.forget(body.u64(), body.u64());
      return undefined;
    },
  ],
  ...attributeOperations,
  [opcodes.readlink, ({ node }, nodes) => readlinkSync(readlinkSync(nodes.path(node)), { encoding: "buffer" })],
  [
    opcodes.symlink,
    (request, nodes) => {
      const [name, target] = [request.body.name(), request.body.name()];
      symlinkSync(target, nodes.childPath(request.node, name));
      return made(request, nodes, name).finish();
    },
  ],
  [
    opcodes.mknod,
    (request, nodes) => {
      const { node, body } = request;
      const [mode, device] = [body.u32(), body.u32()];
      const name = body.skip(8).name();
      const numbers = { major: (device >> 8) & 0xfff, minor: (device & 0xff) | ((device >> 12) & 0xfff00) };
      mknodAt(at(nodes.childPath(node, name)), mode, numbers);
      return made(request, nodes, name).finish();
    },
  ],
  [
    opcodes.mkdir,
    (request, nodes) => {
      const mode = request.body.u32();
      const name = request.body.skip(4).name();
      mkdirSync(nodes.childPath(request.node, name), { mode: mode & 0o7777 });
      return made(request, nodes, name).finish();
    },
  ],
  [opcodes.unlink, ({ node, body }, nodes) => (unlinkSync(nodes.childPath(node, body.name())), nothing)],
  [opcodes.rmdir, ({ node, body }, nodes) => (rmdirSync(nodes.childPath(node, body.name())), nothing)],
  [opcodes.rename, (request, nodes) => rename(request, nodes, 0)],
  [opcodes.rename2, (request, nodes) => rename(request, nodes, undefined)],
  [
    opcodes.link,
    ({ node, body }, nodes) => {
      const file = body.u64();
      const name = body.name();
      linkAt(at(nodes.path(file)), at(nodes.childPath(node, name)), AT_SYMLINK_FOLLOW);
      return entry(nodes, node, name).finish();
    },
  ],
  [
    opcodes.open,
    ({ node, body }, nodes) => handle(openSync(nodes.path(node), body.u32() & ~constants.O_NOFOLLOW)).finish(),
  ],
  [
    opcodes.create,
    (request, nodes) => {
      const [flags, mode] = [request.body.u32(), request.body.u32()];
      const name = request.body.skip(8).name();
      const fd = openSync(nodes.childPath(request.node, name), flags | constants.O_CREAT, mode & 0o7777);
      return made(request, nodes, name).bytes(handle(fd).finish()).finish();
    },
  ],
  [
    opcodes.read,
    ({ body }) => {
      const [fd, offset, size] = [Number(body.u64()), body.u64(), body.u32()];
      const bytes = Buffer.allocUnsafe(size);
      return bytes.subarray(0, readSync(fd, bytes, 0, size, offset));
    },
  ],
  [
    opcodes.write,
    ({ body }) => {
      const [fd, offset, size] = [Number(body.u64()), Number(body.u64()), body.u32()];
      const written = writeSync(fd, body.skip(20).data(size), 0, size, offset);
      return new FuseWriter().u32(written).u32(0).finish();
    },
  ],
  [
    opcodes.statfs,
    (_request, nodes) => {
      const { blocks, bfree, bavail, files, ffree, bsize } = statfsSync(nodes.path(1n), { bigint: true });
      const writer = new FuseWriter();
      for (const value of [blocks, bfree, bavail, files, ffree]) writer.u64(value);
      return writer.u32(Number(bsize)).u32(255).u32(Number(bsize)).zeros(28).finish();
    },
  ],
  [opcodes.release, release],
  [opcodes.fsync, sync],
  [opcodes.fsyncdir, () => nothing],
  [opcodes.flush, () => nothing],
  [opcodes.opendir, () => handle(0).finish()],
  [opcodes.readdir, readDirectory],
  [opcodes.releasedir, () => nothing],
  [opcodes.interrupt, () => undefined],
  [opcodes.destroy, () => nothing],
]);
