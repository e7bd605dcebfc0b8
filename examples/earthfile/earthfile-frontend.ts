import { buildContext, buildImages, type Frontend, readBuildFile } from "@buildkit-ts/frontend";
import type { ImageConfig } from "@buildkit-ts/oci";
import { TargetBuilder } from "./build-target.ts";
import { parseEarthfile } from "./parse-earthfile.ts";

/** Builds a target of an Earthfile: the one that the build's target names (`+app` or `app`), else the file's last. */
export const earthfileFrontend: Frontend = async (client, { signal }) => {
  const file = await readBuildFile(client, { defaultName: "Earthfile", language: "Earthfile", signal });
  const earthfile = parseEarthfile(file);
  const last = [...earthfile.targets.keys()].at(-1);
  const target = (client.options["target"] ?? "").replace(/^\+/, "") || last;
  if (target === undefined) throw file.error("An Earthfile needs a target", { first: 1 });
  const context = await buildContext(client, { excludePatterns: [".git"] });
  return await buildImages(
    client,
    async (platform) => {
      const builder = new TargetBuilder(earthfile, {
        file,
        platform,
        context,
        buildArgs: (name) => client.options[`build-arg:${name}`],
        resolve: async (reference) => {
          const logName = `[internal] load metadata for ${reference}`;
          const { ref, config } = await client.resolveImage(reference, { platform, logName }, { signal });
          return { ref, config: (JSON.parse(new TextDecoder().decode(config)) as ImageConfig).config ?? {} };
        },
      });
      const { state, config } = await builder.build(target, [], { first: 1 });
      return { state, config: { config } };
    },
    { signal },
  );
};
