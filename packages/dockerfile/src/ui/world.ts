import { fromBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { BuildError } from "@buildkit-ts/errdefs";
import type { State } from "@buildkit-ts/llb";
import type { BaseImage, ConvertWorld } from "../convert/convert-options.ts";
import type { FrontendClient } from "../frontend-client.ts";
import type { BuildContext } from "./build-context.ts";
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
    sourceEpoch: ({ state }) => Promise.resolve(epochOfSource(state)),
    supports: (capability) => client.llbCapabilities.has(capability),
  };
}

/** Images and directories have no time of their own; that of other sources would have to be asked for. */
function epochOfSource(state: State): undefined {
  for (const bytes of state.marshal().def) {
    const { op } = fromBinary(opspb.OpSchema, bytes);
    if (op.case === "source" && /^(?:git|https?):/.test(op.value.identifier))
      throw new BuildError(
        "unimplemented",
        `Cannot resolve SOURCE_DATE_EPOCH of "${op.value.identifier}": not supported`,
        {
          hint: "Give the time as a number of seconds",
        },
      );
  }
  return undefined;
}
