export type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "./exporter.ts";
