export type { BlobInfo, ContentProvider, ContentStore, ContentWriter, FileContentStore } from "./content-store.ts";
