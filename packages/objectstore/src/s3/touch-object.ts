import type { S3Client } from "@aws-sdk/client-s3";
import type { s3Sdk } from "./s3-sdk.ts";

/** Larger objects cannot be copied by one request. */
const maxCopyBytes = 5 * 1024 ** 3;

/** Copies an object over itself, which is the only way to make it new. */
export async function touchObject(
  sdk: typeof s3Sdk,
  { bucket, key, size }: { readonly bucket: string; readonly key: string; readonly size: number },
  send: S3Client["send"],
): Promise<void> {
  const target = { Bucket: bucket, Key: key };
  const source = { ...target, CopySource: encodeURI(`${bucket}/${key}`) };
  if (size < maxCopyBytes) {
    // Without a change of metadata S3 refuses to copy an object over itself.
    const changed = { MetadataDirective: "REPLACE", Metadata: { "updated-at": new Date().toISOString() } } as const;
    await send(new sdk.CopyObjectCommand({ ...source, ...changed }));
    return;
  }
  const { UploadId } = await send(new sdk.CreateMultipartUploadCommand(target));
  try {
    const parts: { readonly PartNumber: number; readonly ETag: string | undefined }[] = [];
    for (let start = 0; start < size; start += maxCopyBytes) {
      const part = { UploadId, PartNumber: parts.length + 1 };
      const CopySourceRange = `bytes=${start}-${Math.min(start + maxCopyBytes, size) - 1}`;
      const copied = await send(new sdk.UploadPartCopyCommand({ ...source, ...part, CopySourceRange }));
      parts.push({ PartNumber: part.PartNumber, ETag: copied.CopyPartResult?.ETag });
    }
    await send(new sdk.CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts: parts } }));
  } catch (error) {
    await send(new sdk.AbortMultipartUploadCommand({ ...target, UploadId }));
    throw error;
  }
}
