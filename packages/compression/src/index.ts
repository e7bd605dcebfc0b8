export {
  type CompressedSink,
  type CompressionSetting,
  type Compressor,
  compress,
  createCompressor,
} from "./compressor.ts";
export { type DecompressOptions, decompress } from "./decompress.ts";
export { decompressBlocks } from "./decompress-blocks.ts";
export { type DetectedCompression, detectCompression, detectionLength } from "./detect-compression.ts";
export { freeBuffer } from "./free-buffer.ts";
export { GzipMembers, type OnMemberStart } from "./gzip-members.ts";
export { defaultUnpackLimits, UnpackBudget, type UnpackLimits } from "./unpack-budget.ts";
