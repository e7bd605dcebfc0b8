import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** The entry of the table of contents, which comes after the layer's own archive. */
export const tocName = "stargz.index.json";

const blockBytes = 512;
/** One of a million files has some 300 MB. */
const maxTocBytes = 512 * 1024 * 1024;

/** Bytes of the footer. */
export const footerBytes = 51;

/**
 * The end of an eStargz blob: an empty gzip member that says, in a field of its header (RFC 1952, section 2.3.1.1), where
 * the member with the table of contents begins.
 */
export function encodeStargzFooter(tocOffset: number): Buffer {
  const subfield = Buffer.from(`${tocOffset.toString(16).padStart(16, "0")}STARGZ`);
  return Buffer.concat([
    // Deflate, with an extra field; no time, unknown operating system; the field's length; its name and length.
    Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, subfield.length + 4, 0, 0x53, 0x47, subfield.length, 0]),
    subfield,
    // One last, empty, stored block; checksum and length of nothing.
    Buffer.from([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]),
  ]);
}

/**
 * How many bytes of a blob are the layer's own archive, before its table of contents; undefined for a blob that is no
 * eStargz, or only says so.
 */
export function findStargzPayload(path: string): number | undefined {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const footer = read(fd, size - footerBytes, footerBytes);
    const offset = /^[0-9a-f]{16}$/.exec(footer.toString("latin1", 16, 32))?.[0];
    if (offset === undefined) return undefined;
    const tocOffset = Number.parseInt(offset, 16);
    if (!Number.isSafeInteger(tocOffset) || !encodeStargzFooter(tocOffset).equals(footer)) return undefined;
    if (tocOffset > size - footerBytes) return undefined;
    if (size - footerBytes - tocOffset > maxTocBytes) return undefined;
    return isToc(read(fd, tocOffset, size - footerBytes - tocOffset)) ? tocOffset : undefined;
  } finally {
    closeSync(fd);
  }
}

function read(fd: number, position: number, length: number): Buffer {
  if (position < 0) return Buffer.alloc(0);
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, readSync(fd, buffer, 0, length, position));
}

/**
 * Whether the end of a blob holds the table of contents and nothing else. Whoever unpacks the blob sees all that is in it, so
 * other entries there are a part of the layer.
 */
function isToc(end: Buffer): boolean {
  try {
    const archive = gunzipSync(end, { maxOutputLength: maxTocBytes });
    if (archive.toString("latin1", 0, tocName.length + 1) !== `${tocName}\0`) return false;
    const size = Number.parseInt(archive.toString("latin1", 124, 136), 8);
    const next = blockBytes + Math.ceil(size / blockBytes) * blockBytes;
    return next <= archive.length && archive.subarray(next).every((byte) => byte === 0);
  } catch {
    return false;
  }
}
