import { BuildError } from "@buildkit-ts/errdefs";
import { encodeBytes } from "./byte-text.ts";
import { encodePaxRecords, type PaxRecords, xattrPrefix } from "./pax-records.ts";
import { type TarHeader, tarBlockSize, tarPadding, typeFlags } from "./tar-header.ts";

/** The two zero blocks that end an archive. */
export const tarEnd: Uint8Array = new Uint8Array(2 * tarBlockSize);

const maxPaxBytes = 1 << 20;

/**
 * The blocks that come before an entry's content: one ustar header, or a pax extended header and a ustar one.
 *
 * The bytes equal what Go's `archive/tar` writes for the format PAX, since DiffIDs of reproducible builds depend on
 * them: ustar wherever the values fit, records sorted by key, fields that do not fit set to zero.
 *
 * @throws {BuildError} `invalid_argument`, for values that no archive can hold.
 */
export function encodeTarHeader(header: TarHeader): Buffer {
  const name = encodeBytes(header.name);
  const link = encodeBytes(header.linkName ?? "");
  validate(header, name);
  const split = name.length > 100 ? splitUstarName(name) : undefined;
  const pax = paxRecordsOf(header, { name, link, split: split !== undefined });
  if (pax.size === 0) {
    const block = Buffer.alloc(tarBlockSize);
    fillBlock(block, header, { name: split?.suffix ?? name, link });
    split?.prefix.copy(block, 345);
    return seal(block);
  }
  const records = encodePaxRecords(pax);
  if (records.length > maxPaxBytes) throw cannotWrite(header.name, "its extended header exceeds 1 MiB");
  const blocks = Buffer.alloc(2 * tarBlockSize + records.length + tarPadding(records.length));
  const extended = blocks.subarray(0, tarBlockSize);
  putText(extended.subarray(0, 100), trimSlashes(toAscii(paxName(name)).subarray(0, 100)));
  for (const [at, width] of [
    [100, 8],
    [108, 8],
    [116, 8],
    [136, 12],
  ] as const)
    putOctal(extended, [at, width], 0);
  putOctal(extended, [124, 12], records.length);
  extended[156] = "x".charCodeAt(0);
  seal(extended);
  records.copy(blocks, tarBlockSize);
  const main = blocks.subarray(blocks.length - tarBlockSize);
  fillBlock(main, header, { name: toAscii(name), link: toAscii(link) });
  seal(main);
  return blocks;
}

function validate(header: TarHeader, name: Buffer): void {
  if (name.includes(0)) throw cannotWrite(header.name, "its name holds a NUL");
  const slashAllowed = header.type === "directory" || header.type === "symlink" || header.type === "hardlink";
  if (!slashAllowed && header.name.endsWith("/"))
    throw cannotWrite(header.name, "only a directory's name ends with a slash");
  const devices = [header.deviceMajor ?? 0, header.deviceMinor ?? 0];
  const numbers = [header.mode, header.uid, header.gid, header.size, ...devices];
  if (!numbers.every((n) => Number.isSafeInteger(n) && n >= 0) || !Number.isSafeInteger(header.mtimeSeconds)) {
    throw cannotWrite(header.name, "a number is out of range");
  }
  if ([header.mode, ...devices].some((n) => !fitsOctal(8, n))) {
    throw cannotWrite(header.name, "its mode or device number does not fit into a tar header");
  }
}

function cannotWrite(name: string, why: string): BuildError {
  return new BuildError("invalid_argument", `Cannot write tar entry "${name.slice(0, 300).toWellFormed()}": ${why}`);
}

interface EncodedNames {
  readonly name: Buffer;
  readonly link: Buffer;
  readonly split: boolean;
}

function paxRecordsOf(header: TarHeader, names: EncodedNames): PaxRecords {
  const records: PaxRecords = new Map();
  putLongText(records, { key: "linkpath", width: 100, bytes: names.link });
  putLongText(records, { key: "uname", width: 32, bytes: encodeBytes(header.userName ?? "") });
  putLongText(records, { key: "gname", width: 32, bytes: encodeBytes(header.groupName ?? "") });
  for (const [key, value, width] of [
    ["uid", header.uid, 8],
    ["gid", header.gid, 8],
    ["size", header.size, 12],
  ] as const) {
    if (!fitsOctal(width, value)) records.set(key, Buffer.from(String(value)));
  }
  const nanoseconds = header.mtimeNanoseconds ?? 0;
  if (nanoseconds !== 0 || !fitsOctal(12, header.mtimeSeconds)) {
    records.set("mtime", Buffer.from(formatPaxTime(header.mtimeSeconds, nanoseconds)));
  }
  for (const [key, value] of header.xattrs ?? []) {
    if (key === "" || /[=\0]/.test(key)) throw cannotWrite(header.name, "the name of an extended attribute is invalid");
    records.set(`${xattrPrefix}${key}`, Buffer.from(value));
  }
  // A name that could be split is not split once other records are needed: then it gets its own.
  if (!names.split || records.size > 0) putLongText(records, { key: "path", width: 100, bytes: names.name });
  return records;
}

function putLongText(
  records: PaxRecords,
  text: { readonly key: string; readonly width: number; readonly bytes: Buffer },
): void {
  if (text.bytes.length > text.width || !isAscii(text.bytes)) records.set(text.key, text.bytes);
}

function fillBlock(block: Buffer, header: TarHeader, names: { readonly name: Buffer; readonly link: Buffer }): void {
  putText(block.subarray(0, 100), names.name);
  putOctal(block, [100, 8], header.mode);
  putOctal(block, [108, 8], header.uid);
  putOctal(block, [116, 8], header.gid);
  putOctal(block, [124, 12], header.size);
  putOctal(block, [136, 12], header.mtimeSeconds);
  block[156] = typeFlags[header.type].charCodeAt(0);
  putText(block.subarray(157, 257), names.link);
  putText(block.subarray(265, 297), toAscii(encodeBytes(header.userName ?? "")));
  putText(block.subarray(297, 329), toAscii(encodeBytes(header.groupName ?? "")));
  putOctal(block, [329, 8], header.deviceMajor ?? 0);
  putOctal(block, [337, 8], header.deviceMinor ?? 0);
}

/** Sets magic, version and checksum. */
function seal(block: Buffer): Buffer {
  block.write("ustar\x0000", 257, "latin1");
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  putOctal(block, [148, 7], sum);
  return block;
}

function putText(field: Buffer, text: Buffer): void {
  text.copy(field, 0, 0, field.length);
  // Some readers take a file for a directory when its cut-off name ends with a slash.
  if (text.length > field.length && field.at(-1) === 0x2f)
    field[trimSlashes(text.subarray(0, field.length - 1)).length] = 0;
}

/** Zero-padded octal digits with a NUL; 0 for what does not fit, since a pax record then has the value. */
function putOctal(block: Buffer, field: readonly [at: number, width: number], value: number): void {
  const [at, width] = field;
  const digits = (fitsOctal(width, value) ? value : 0).toString(8).padStart(width - 1, "0");
  block.write(`${digits}\0`, at, "latin1");
}

function fitsOctal(width: number, value: number): boolean {
  return value >= 0 && value < 8 ** (width - 1);
}

/** Splits at the last slash that leaves at most 155 bytes before and 100 after it. */
function splitUstarName(name: Buffer): { readonly prefix: Buffer; readonly suffix: Buffer } | undefined {
  if (!isAscii(name)) return undefined;
  const length = name.length > 156 ? 156 : name.at(-1) === 0x2f ? name.length - 1 : name.length;
  const slash = name.subarray(0, length).lastIndexOf(0x2f);
  const suffixLength = name.length - slash - 1;
  if (slash <= 0 || slash > 155 || suffixLength > 100 || suffixLength === 0) return undefined;
  return { prefix: name.subarray(0, slash), suffix: name.subarray(slash + 1) };
}

/** `dir/PaxHeaders.0/file`, cleaned as Go's `path.Join` does. */
function paxName(name: Buffer): Buffer {
  const text = name.toString("latin1");
  const slash = text.lastIndexOf("/");
  const rooted = text.startsWith("/");
  const parts: string[] = [];
  for (const part of `${text.slice(0, slash + 1)}/PaxHeaders.0/${text.slice(slash + 1)}`.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (!rooted) parts.push("..");
  }
  return Buffer.from(`${rooted ? "/" : ""}${parts.join("/")}`, "latin1");
}

/** `seconds.fraction` without trailing zeros; before the epoch the sign holds for both parts. */
function formatPaxTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds);
  const negative = seconds < 0;
  const whole = negative ? -(seconds + 1) : seconds;
  const fraction = negative ? 1_000_000_000 - nanoseconds : nanoseconds;
  return `${negative ? "-" : ""}${whole}.${String(fraction).padStart(9, "0").replace(/0+$/, "")}`;
}

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte > 0 && byte < 0x80);
}

function toAscii(bytes: Buffer): Buffer {
  return isAscii(bytes) ? bytes : (bytes.filter((byte) => byte > 0 && byte < 0x80) as Buffer);
}

function trimSlashes(text: Buffer): Buffer {
  let end = text.length;
  while (end > 0 && text[end - 1] === 0x2f) end -= 1;
  return text.subarray(0, end);
}
