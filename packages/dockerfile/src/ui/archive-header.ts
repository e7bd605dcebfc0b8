const magics = [
  [0x42, 0x5a, 0x68], // bzip2
  [0x1f, 0x8b, 0x08], // gzip
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], // xz
  [0x28, 0xb5, 0x2f, 0xfd], // zstd, which BuildKit takes for a Dockerfile
];

/** Whether a file that begins like this is an archive: compressed, or a tar by its first header's checksum. */
export function isArchive(header: Uint8Array): boolean {
  if (magics.some((magic) => magic.every((byte, i) => header[i] === byte))) return true;
  return isTarHeader(header);
}

function isTarHeader(header: Uint8Array): boolean {
  if (header.length < 512) return false;
  const block = header.subarray(0, 512);
  const text = new TextDecoder("latin1")
    .decode(block.subarray(148, 156))
    .replace(/[\0 ]+$/, "")
    .trim();
  if (!/^[0-7]+$/.test(text)) return false;
  // The checksum counts its own field as blanks.
  const sum = block.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  return sum === Number.parseInt(text, 8);
}
