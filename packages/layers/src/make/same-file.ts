import { constants, readSync } from "node:fs";
import {
  type At,
  type DeviceNumber,
  type FileStat,
  findXattr,
  listXattrs,
  OpenFile,
  openAt,
  pathOfAt,
  readlinkAt,
} from "@buildkit-ts/sys";

/** The only extended attribute that BuildKit's layers hold. */
export const capabilityAttribute = "security.capability";

/** File capabilities; undefined where there are none. */
export function findCapability(at: At): Buffer | undefined {
  const path = pathOfAt(at);
  // Most files have no attributes at all, and an empty list is cheaper than a lookup that fails.
  return listXattrs(path).includes(capabilityAttribute) ? findXattr(path, capabilityAttribute) : undefined;
}

export interface ComparedFile {
  readonly at: At;
  readonly stat: FileStat;
}

/**
 * Whether BuildKit takes two files for the same: type, mode, owner, device and capabilities; but for directories also
 * size and time. Times without a fraction may have been cut off by an archive, so then the content decides.
 */
export function isSameFile(lower: ComparedFile, upper: ComparedFile): boolean {
  const [a, b] = [lower.stat, upper.stat];
  if (a.inode === b.inode && isSameDevice(a.device, b.device)) return true;
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false;
  if (!isSameDevice(a.specialDevice, b.specialDevice)) return false;
  if (!sameBytes(findCapability(lower.at), findCapability(upper.at))) return false;
  if (b.isDirectory()) return true;
  if (a.sizeBytes !== b.sizeBytes || a.modificationNs !== b.modificationNs) return false;
  if (a.modificationNs % 1_000_000_000n !== 0n) return true;
  if (b.isSymbolicLink()) return sameBytes(Buffer.from(readlinkAt(lower.at)), Buffer.from(readlinkAt(upper.at)));
  return !b.isFile() || b.sizeBytes === 0 || hasSameContent(lower.at, upper.at);
}

function isSameDevice(a: DeviceNumber, b: DeviceNumber): boolean {
  return a.major === b.major && a.minor === b.minor;
}

function sameBytes(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b);
}

const pieceSize = 256 << 10;
const pieces = [Buffer.allocUnsafeSlow(0), Buffer.allocUnsafeSlow(0)];

function hasSameContent(lower: At, upper: At): boolean {
  using a = openContent(lower);
  using b = openContent(upper);
  if (pieces[0]?.length === 0)
    pieces.splice(0, 2, Buffer.allocUnsafeSlow(pieceSize), Buffer.allocUnsafeSlow(pieceSize));
  const [first = Buffer.alloc(pieceSize), second = Buffer.alloc(pieceSize)] = pieces;
  for (;;) {
    const [n, m] = [readFully(a.fd, first), readFully(b.fd, second)];
    if (n !== m || first.compare(second, 0, m, 0, n) !== 0) return false;
    if (n < pieceSize) return true;
  }
}

function readFully(fd: number, buffer: Buffer): number {
  for (let filled = 0; ; ) {
    const count = readSync(fd, buffer, filled, buffer.length - filled, null);
    filled += count;
    if (count === 0 || filled === buffer.length) return filled;
  }
}

/** Opens a regular file that was seen in its directory; a FIFO put in its place does not block. */
export function openContent(at: At): OpenFile {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
  return new OpenFile(openAt(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
}

/** Opens a directory that was seen in its parent. */
export function openChildDirectory(at: At): OpenFile {
  const { O_RDONLY, O_NOFOLLOW, O_DIRECTORY } = constants;
  return new OpenFile(openAt(at, O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
}
