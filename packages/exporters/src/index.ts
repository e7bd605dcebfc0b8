export { ArchiveExporter, type ArchiveExporterOptions } from "./archive/archive-exporter.ts";
export type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "./exporter.ts";
export { LocalExporter } from "./files/local-exporter.ts";
export { TarExporter } from "./files/tar-exporter.ts";
export { ImageExporter, type ImageExporterOptions } from "./image/image-exporter.ts";
export { LayerRewriter, type LayerRewriterOptions } from "./image/layer-rewriter.ts";
export { type BlobPins, DatabaseImageStore, type ImageStore, type StoredImage } from "./image-store.ts";
export { type ResultPlatform, resultPlatforms } from "./options/result-platforms.ts";
