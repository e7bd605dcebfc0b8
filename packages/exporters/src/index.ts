export { ArchiveExporter, type ArchiveExporterOptions } from "./archive/archive-exporter.ts";
export type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "./exporter.ts";
export { LocalExporter } from "./files/local-exporter.ts";
export { TarExporter } from "./files/tar-exporter.ts";
export { ImageExporter, type ImageExporterOptions } from "./image/image-exporter.ts";
export type { PushTarget, PushTargets } from "./image/push-image.ts";
export { DatabaseImageStore, type ImageStore, type StoredImage } from "./image-store.ts";
export { PinnedContentStore } from "./pinned-content-store.ts";
