import { BuildError } from "@buildkit-ts/errdefs";
import { buildContext, buildImages, type Frontend, type FrontendClient, readBuildFile } from "@buildkit-ts/frontend";
import { copy, image, merge, type State, scratch } from "@buildkit-ts/llb";
import type { ImageConfig, Platform } from "@buildkit-ts/oci";

const runImageLabel = "buildpacks.run-image";

/** Prints the names of the buildpacks whose `detect` says yes, in the order of their folders. */
const detectScript = `for pack in /buildpacks/*; do
  if (cd /workspace && "$pack/detect") >/dev/null 2>&1; then basename "$pack"; fi
done > /plan/packs`;

/**
 * Builds an application without being told how: the builder image's buildpacks say which of them apply (`detect`), and those
 * that do make a layer each (`build`), which are put on the builder's run image.
 *
 * The file names the builder: `builder = IMAGE`.
 */
export const buildpacksFrontend: Frontend = async (client, { signal }) => {
  const file = await readBuildFile(client, { defaultName: "project.conf", language: "", signal });
  const builder = /^\s*builder\s*=\s*(\S+)\s*$/m.exec(file.text)?.[1];
  if (builder === undefined) throw file.error("Name the builder: builder = IMAGE", { first: 1 });
  const context = await buildContext(client, { excludePatterns: [".git", file.map.filename] });
  return await buildImages(
    client,
    async (platform) => {
      const { base, runImage } = await openBuilder(client, builder, { platform, signal });
      const packs = await detect(client, { base, context, platform, signal });
      if (packs.length === 0) {
        throw new BuildError("failed_precondition", `No buildpack of ${builder} applies to this application`);
      }
      return await buildWith(client, packs, { base, runImage, context, platform, signal });
    },
    { signal },
  );
};

interface Phase {
  readonly base: State;
  readonly context: State;
  readonly platform: Platform;
  readonly signal: AbortSignal;
}

async function readConfig(
  client: FrontendClient,
  reference: string,
  { platform, signal }: Pick<Phase, "platform" | "signal">,
): Promise<{ readonly ref: string; readonly config: ImageConfig }> {
  const logName = `[internal] load metadata for ${reference}`;
  const { ref, config } = await client.resolveImage(reference, { platform, logName }, { signal });
  return { ref, config: JSON.parse(new TextDecoder().decode(config)) as ImageConfig };
}

async function openBuilder(
  client: FrontendClient,
  reference: string,
  phase: Pick<Phase, "platform" | "signal">,
): Promise<{ readonly base: State; readonly runImage: string }> {
  const { ref, config } = await readConfig(client, reference, phase);
  const runImage = config.config?.Labels?.[runImageLabel];
  if (runImage === undefined) {
    throw new BuildError("failed_precondition", `${reference} is no builder: it has no label ${runImageLabel}`);
  }
  return { base: image(ref, { platform: phase.platform, customName: `[builder] ${reference}` }), runImage };
}

/** A step like any other, so that its answer is cached: it runs again only if the application or the builder changes. */
async function detect(client: FrontendClient, { base, context, platform, signal }: Phase): Promise<readonly string[]> {
  const plan = base
    .run(detectScript, {
      customName: "[detect] which buildpacks apply",
      mounts: [{ target: "/workspace", source: context, readonly: true }, { target: "/plan" }],
    })
    .mount("/plan");
  const { ref } = await client.solve({ definition: (plan ?? scratch()).marshal({ platform }) }, { signal });
  const packs = await ref?.readFile("packs", { signal });
  return new TextDecoder()
    .decode(packs)
    .split("\n")
    .filter((name) => name !== "");
}

async function buildWith(
  client: FrontendClient,
  packs: readonly string[],
  phase: Phase & { readonly runImage: string },
): Promise<{ readonly state: State; readonly config: ImageConfig }> {
  const { base, runImage, context, platform, signal } = phase;
  // Each buildpack sees the application as its predecessor left it, and writes its own layer beside it.
  let app = context;
  const layers: State[] = [];
  for (const pack of packs) {
    const step = base.run(`cd /workspace && /buildpacks/${pack}/build /layers/${pack}`, {
      customName: `[build] ${pack}`,
      mounts: [{ target: "/workspace", source: app }, { target: `/layers/${pack}` }],
    });
    app = step.mount("/workspace") ?? app;
    const layer = step.mount(`/layers/${pack}`) ?? scratch();
    layers.push(place(layer, `/layers/${pack}`));
  }
  const { ref, config } = await readConfig(client, runImage, phase);
  const files = [...layers, place(app, "/workspace")];
  const state = merge([image(ref, { platform, customName: `[run image] ${runImage}` }), ...files]);
  const launch = await readLaunch(client, layers.at(-1) ?? scratch(), { pack: packs.at(-1) ?? "", platform, signal });
  return { state, config: { config: { ...config.config, WorkingDir: "/workspace", Cmd: ["/bin/sh", "-c", launch] } } };
}

function place(what: State, dest: string): State {
  return scratch().file(copy(what, { src: "/", dest }, { copyDirContentsOnly: true, createDestPath: true }));
}

/** The last buildpack of the plan says how the application is started, in its file `launch`. */
async function readLaunch(
  client: FrontendClient,
  layer: State,
  options: { readonly pack: string; readonly platform: Platform; readonly signal: AbortSignal },
): Promise<string> {
  const definition = layer.marshal({ platform: options.platform });
  const { ref } = await client.solve({ definition }, options);
  const launch = await ref?.readFile(`/layers/${options.pack}/launch`, options);
  return new TextDecoder().decode(launch).trim();
}
