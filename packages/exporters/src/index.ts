export { ArchiveExporter, type ArchiveExporterOptions } from "./archive/archive-exporter.ts";
export type { BlobPins } from "./blob-pins.ts";
export type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "./exporter.ts";
export { LocalExporter } from "./files/local-exporter.ts";
export { TarExporter } from "./files/tar-exporter.ts";
export { ImageExporter, type ImageExporterOptions } from "./image/image-exporter.ts";
export { LayerRewriter, type LayerRewriterOptions } from "./image/layer-rewriter.ts";
export { type ResultPlatform, resultPlatforms } from "./options/result-platforms.ts";
