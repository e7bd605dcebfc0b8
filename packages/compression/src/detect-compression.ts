/** What the first bytes of a stream say about how it is compressed. */
export type DetectedCompression = "uncompressed" | "gzip" | "zstd" | "bzip2" | "xz";

/** So many first bytes are enough for {@linkcode detectCompression}. */
export const detectionLength = 6;

/** Unknown or too short beginnings count as uncompressed. */
export function detectCompression(head: Uint8Array): DetectedCompression {
  const starts = (...magic: number[]): boolean => magic.every((byte, at) => head[at] === byte);
  if (starts(0x1f, 0x8b, 8)) return "gzip";
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return "zstd";
  // A skippable frame, with which zstd:chunked and seekable files may begin.
  if (starts(((head[0] ?? 0) & 0x0f) | 0x50, 0x2a, 0x4d, 0x18)) return "zstd";
  if (starts(0x42, 0x5a, 0x68)) return "bzip2";
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)) return "xz";
  return "uncompressed";
}
