import { formatGoJson } from "@buildkit-ts/gotext";
import { chainIds, digestOf, type Platform } from "@buildkit-ts/oci";
import type { ResolvedImage } from "./image-resolver.ts";

/** The quick key: what the name stands for, and for which platform, in BuildKit's bytes (`source/containerimage/pull.go`). */
export function manifestKey(image: ResolvedImage, platform: Platform, layerLimit: number | undefined): string {
  const { os, architecture, variant, "os.version": version, "os.features": features } = platform;
  return digestOf(
    formatGoJson({
      Digest: image.root.digest,
      OS: os,
      Arch: architecture,
      ...(variant !== undefined && { Variant: variant }),
      ...(version !== undefined && { OSVersion: version }),
      ...(features !== undefined && features.length > 0 && { OSFeatures: features }),
      ...(layerLimit !== undefined && { Limit: layerLimit }),
    }),
  );
}

/** The exact key: the ChainID of the layers, so that equal trees by different names share results; undefined without layers. */
export function configKey(image: ResolvedImage, layerLimit: number | undefined): string | undefined {
  return chainIds((image.diffIds ?? []).slice(0, layerLimit)).at(-1);
}
