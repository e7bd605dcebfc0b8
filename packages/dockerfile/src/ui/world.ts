import type { BaseImage, ConvertWorld } from "../convert/convert-options.ts";
import type { FrontendClient } from "../frontend-client.ts";
import type { BuildContext } from "./build-context.ts";
import { epochOfSource } from "./epoch-of-source.ts";
import type { NamedContexts } from "./named-contexts.ts";

/** What a conversion sees of the world through a frontend client. Images are resolved once for all platforms. */
export function createWorld(client: FrontendClient, context: BuildContext, named: NamedContexts): ConvertWorld {
  const resolved = new Map<string, Promise<BaseImage>>();
  return {
    resolveImage: async (reference, request, options) => {
      const key = JSON.stringify([reference, request]);
      let image = resolved.get(key);
      if (image === undefined) {
        image = client.resolveImage(reference, request, options);
        resolved.set(key, image);
      }
      return await image;
    },
    namedContext: (name, request) => named.find(name, request),
    remoteContext: (options) => context.remote(options),
    localContext: (followPaths, excludes) => context.local(followPaths, excludes),
    ignorePatterns: (options) => context.ignorePatterns(options),
    sourceEpoch: async (request, options) => await epochOfSource(client, request, options),
    supports: (capability) => client.llbCapabilities.has(capability),
  };
}
