import type { LocalCacheManager } from "@buildkit-ts/cache";
import type { ContentStore } from "@buildkit-ts/content";
import {
  ArchiveExporter,
  type Exporter,
  ImageExporter,
  type LayerRewriter,
  LocalExporter,
  TarExporter,
} from "@buildkit-ts/exporters";
import type { RegistryClient } from "@buildkit-ts/registry";
import type { LocalSessionManager } from "@buildkit-ts/session";

/** The exporters by the type that clients ask for. */
export function createExporters(parts: {
  readonly content: ContentStore;
  readonly cache: LocalCacheManager;
  readonly registry: RegistryClient;
  readonly sessions: LocalSessionManager;
  readonly rewriter: LayerRewriter;
}): Map<string, Exporter> {
  const { content, cache: pins, registry, sessions, rewriter } = parts;
  return new Map<string, Exporter>([
    ["image", new ImageExporter({ content, pins, registry, sessions, rewriter })],
    ["oci", new ArchiveExporter({ variant: "oci", content, pins, sessions, rewriter })],
    ["docker", new ArchiveExporter({ variant: "docker", content, pins, sessions, rewriter })],
    ["local", new LocalExporter({ sessions })],
    ["tar", new TarExporter({ sessions })],
  ]);
}
