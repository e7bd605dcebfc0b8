export { compareBytes, decodeBytes, encodeBytes } from "./byte-text.ts";
export { encodeTarHeader, tarEnd } from "./encode-header.ts";
export { fileHeader, fileHeaderHash, type HashedAttributes, isHashedXattr } from "./file-header-hash.ts";
export { TarDecoder, type TarVisitor } from "./tar-decoder.ts";
export { type TarEntryType, type TarHeader, tarBlockSize, tarPadding } from "./tar-header.ts";
export { type DecodedTarEntry, decodeTar, encodeTar, type TarEntry, type TarPiece, zerosOf } from "./tar-streams.ts";
export { opaqueWhiteout, parseWhiteout, splitTarName, whiteoutPrefix } from "./whiteout.ts";
