import { DefaultAzureCredential } from "@azure/identity";
import {
  AnonymousCredential,
  BlockBlobClient,
  ContainerClient,
  newPipeline,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";

/** What is used of Azure's SDK. Imported only when a build names it; a file of its own in the single executable. */
export const azureSdk: {
  readonly AnonymousCredential: typeof AnonymousCredential;
  readonly BlockBlobClient: typeof BlockBlobClient;
  readonly ContainerClient: typeof ContainerClient;
  readonly DefaultAzureCredential: typeof DefaultAzureCredential;
  readonly StorageSharedKeyCredential: typeof StorageSharedKeyCredential;
  readonly newPipeline: typeof newPipeline;
} = {
  AnonymousCredential,
  BlockBlobClient,
  ContainerClient,
  DefaultAzureCredential,
  StorageSharedKeyCredential,
  newPipeline,
};
