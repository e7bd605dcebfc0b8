export {
  type CompressedSink,
  type CompressionSetting,
  type Compressor,
  compress,
  createCompressor,
} from "./compressor.ts";
export { type DecompressOptions, decompress } from "./decompress.ts";
export { type DetectedCompression, detectCompression, detectionLength } from "./detect-compression.ts";
export { freeBuffer, freeLastOf } from "./free-buffer.ts";
export { GzipMembers, type OnMemberStart } from "./gzip-members.ts";
export { defaultUnpackLimits, UnpackBudget, type UnpackLimits } from "./unpack-budget.ts";
