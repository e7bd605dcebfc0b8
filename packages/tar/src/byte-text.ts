const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Text of a file name's bytes. Bytes that are no UTF-8 become the lone surrogates U+DC80 to U+DCFF, one each, so that
 * {@linkcode encodeBytes} gives the same bytes again; ordinary names are ordinary strings.
 */
export function decodeBytes(bytes: Uint8Array): string {
  if (isAscii(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  try {
    return utf8.decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return decodeEscaped(bytes);
  }
}

/** The bytes of a name: UTF-8, and the original byte for each surrogate that {@linkcode decodeBytes} made. */
export function encodeBytes(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, "utf8");
  const parts: Buffer[] = [];
  // With the flag `u` a pair of surrogates is one character, so only lone ones match.
  for (const [part] of text.matchAll(/[\udc80-\udcff]|[^\udc80-\udcff]+/gu)) {
    const code = part.charCodeAt(0);
    const escaped = part.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    parts.push(escaped ? Buffer.of(code - 0xdc00) : Buffer.from(part, "utf8"));
  }
  return Buffer.concat(parts);
}

/** Orders names by their bytes, as Go orders strings. */
export function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  // UTF-16 orders code units below the surrogates as UTF-8 orders their bytes.
  if (!beyondSurrogates.test(a) && !beyondSurrogates.test(b)) return a < b ? -1 : 1;
  return Buffer.compare(encodeBytes(a), encodeBytes(b));
}

const beyondSurrogates = /[\ud800-\uffff]/;

function isAscii(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte >= 0x80) return false;
  return true;
}

function decodeEscaped(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    text +=
      length === 0 ? String.fromCharCode(0xdc00 + (bytes[at] ?? 0)) : utf8.decode(bytes.subarray(at, at + length));
    at += Math.max(1, length);
  }
  return text;
}

/** Length of the valid UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length += 1) {
    try {
      utf8.decode(bytes.subarray(at, at + length));
      return length;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
  return 0;
}
