export type { BlobInfo, ContentProvider, ContentStore, ContentWriter, FileContentStore } from "./content-store.ts";
export { copyBlob } from "./copy-blob.ts";
export { LocalContentStore } from "./local/local-content-store.ts";
export { MemoryContentStore } from "./memory/memory-content-store.ts";
export { readBlob } from "./read-blob.ts";
