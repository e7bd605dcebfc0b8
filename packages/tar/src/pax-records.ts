import { BuildError } from "@buildkit-ts/errdefs";
import { decodeBytes, encodeBytes } from "./byte-text.ts";

/** Extended header records: key → value bytes. */
export type PaxRecords = Map<string, Buffer>;

/** Prefix of the records that carry extended attributes. */
export const xattrPrefix = "SCHILY.xattr.";

/** Records in the order of their keys' bytes, each as `length key=value\n` with the length counting itself. */
export function encodePaxRecords(records: PaxRecords): Buffer {
  const keys = [...records.keys()].map((key) => ({ key, bytes: encodeBytes(key) }));
  keys.sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  return Buffer.concat(
    keys.flatMap(({ key, bytes }) => {
      const value = records.get(key) ?? Buffer.alloc(0);
      const rest = bytes.length + value.length + 3;
      let length = rest + String(rest).length;
      // The digits may themselves carry the length over a power of ten.
      length = rest + String(length).length;
      return [Buffer.from(`${length} `), bytes, Buffer.from("="), value, Buffer.from("\n")];
    }),
  );
}

/** @throws {BuildError} `invalid_argument`, for records that break the format. */
export function decodePaxRecords(bytes: Buffer): PaxRecords {
  const records: PaxRecords = new Map();
  const regions: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? "" : bytes.toString("latin1", at, Math.min(space, at + 20));
    const length = /^\d{1,10}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = bytes.indexOf(0x3d, space);
    const ok = length >= 5 && end <= bytes.length && space + 1 < end && bytes[end - 1] === 0x0a;
    if (!ok || equals <= space + 1 || equals >= end) throw invalidPax("its records are malformed");
    const key = decodeBytes(bytes.subarray(space + 1, equals));
    const value = bytes.subarray(equals + 1, end - 1);
    if (key.includes("\0") || (textKeys.has(key) && value.includes(0))) throw invalidPax("a record holds a NUL");
    if (isRegionRecord(key, regions.length)) regions.push(value.toString("latin1"));
    else records.set(key, value);
    at = end;
  }
  if (regions.length > 0) records.set("GNU.sparse.map", Buffer.from(regions.join(",")));
  return records;
}

/** The first version of sparse files has two records for each region, so that they repeat; the next has them as one list. */
function isRegionRecord(key: string, count: number): boolean {
  const expected = count % 2 === 0 ? "GNU.sparse.offset" : "GNU.sparse.numbytes";
  if (key === expected) return true;
  if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") throw invalidPax("its regions are out of order");
  return false;
}

const textKeys = new Set(["path", "linkpath", "uname", "gname"]);

function invalidPax(why: string): BuildError {
  return new BuildError("invalid_argument", `Cannot read tar "pax header": ${why}`);
}
