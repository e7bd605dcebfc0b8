import { decodeBytes } from "./byte-text.ts";
import { malformed } from "./malformed.ts";

/** The text of a field, which a NUL may end. */
export function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  return decodeBytes(end < 0 ? field : field.subarray(0, end));
}

/** Octal digits, or base 256 in two's complement where the first bit is set (GNU). */
export function numberOf(field: Buffer): number {
  const first = field[0] ?? 0;
  if (first >= 0x80) {
    let value = BigInt(first & 0x40 ? -1 : 0);
    field.forEach((byte, at) => {
      value = (value << 8n) | BigInt(at === 0 ? (first & 0x40 ? byte : byte & 0x7f) : byte);
    });
    return safeNumber(value);
  }
  const digits = field.toString("latin1").replace(/^[ \0]+|[ \0]+$/g, "");
  const end = digits.indexOf("\0");
  const octal = end < 0 ? digits : digits.slice(0, end);
  if (octal === "") return 0;
  if (!/^[0-7]+$/.test(octal)) throw malformed("a number is not octal");
  return Number.parseInt(octal, 8);
}

/** The number of a pax record. */
export function decimalOf(text: string, key: string): number {
  if (!/^[+-]?\d{1,18}$/.test(text)) throw malformed(`the record "${key}" is no number`);
  return safeNumber(BigInt(text));
}

function safeNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER))
    throw malformed("a number is too large");
  return Number(value);
}
