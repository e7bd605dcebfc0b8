import { hostPlatform } from "@buildkit-ts/oci";
import { type ConvertSettings, type ConvertWorld, defaultSettings } from "../convert/convert-options.ts";

/** What a conversion is told and asks; whatever is left out has a default that needs no daemon. */
export interface OfflineOptions {
  readonly settings?: Partial<ConvertSettings>;
  readonly world?: Partial<ConvertWorld>;
  readonly signal?: AbortSignal;
}

/** Images without a registry: of the wanted platform, and with nothing but the usual PATH in their environment. */
const unknownImages: Pick<ConvertWorld, "resolveImage"> = {
  resolveImage: (ref, { platform: { os, architecture, variant } }) => {
    const Env = os === "windows" ? [] : ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
    const config = JSON.stringify({ os, architecture, variant, config: { Env } });
    return Promise.resolve({ ref, digest: undefined, config: new TextEncoder().encode(config) });
  },
};

/** The options with their defaults: the host's platform, all of a daemon's capabilities, images that nobody was asked about. */
export function withDefaults(options: OfflineOptions): {
  readonly settings: ConvertSettings;
  readonly world: ConvertWorld;
  readonly signal: AbortSignal;
} {
  return {
    settings: { ...defaultSettings, buildPlatforms: [hostPlatform()], ...options.settings },
    world: { ...unknownImages, supports: () => true, ...options.world },
    signal: options.signal ?? new AbortController().signal,
  };
}
