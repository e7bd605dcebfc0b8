import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

/** What is used of the AWS SDK. Imported only when a build names a bucket; a file of its own in the single executable. */
export const s3Sdk: {
  readonly AbortMultipartUploadCommand: typeof AbortMultipartUploadCommand;
  readonly CompleteMultipartUploadCommand: typeof CompleteMultipartUploadCommand;
  readonly CopyObjectCommand: typeof CopyObjectCommand;
  readonly CreateMultipartUploadCommand: typeof CreateMultipartUploadCommand;
  readonly GetObjectCommand: typeof GetObjectCommand;
  readonly HeadObjectCommand: typeof HeadObjectCommand;
  readonly PutObjectCommand: typeof PutObjectCommand;
  readonly S3Client: typeof S3Client;
  readonly UploadPartCopyCommand: typeof UploadPartCopyCommand;
  readonly Upload: typeof Upload;
} = {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCopyCommand,
  Upload,
};
