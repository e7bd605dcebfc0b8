import type { opspb } from "@buildkit-ts/api";
import { loadNamedContext } from "@buildkit-ts/dockerfile";
import { BuildError } from "@buildkit-ts/errdefs";
import { definitionToProto, image as imageSource } from "@buildkit-ts/llb";
import { type Digest, formatReference, parseReference, withDefaultTag } from "@buildkit-ts/oci";
import type { BridgeSolveRequest, BuildBridge } from "../bridge/build-bridge.ts";
import { createFrontendClient } from "../bridge/dockerfile-frontend.ts";

/** A frontend's image: what it is built from, and what its config says of how to run it. */
export interface FrontendImage {
  readonly definition: opspb.Definition;
  /** Undefined for one that the client gave as a context. */
  readonly digest: Digest | undefined;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** The program of a frontend whose image names none. */
const defaultArgs = ["/run"];

/** Finds the image that a `gateway.v0` request names, or what the client gives in its place. Nothing is pulled yet. */
export async function findFrontendImage(
  bridge: BuildBridge,
  request: BridgeSolveRequest & { readonly source: string },
  options: { readonly signal: AbortSignal },
): Promise<FrontendImage> {
  const named = await loadNamedContext(createFrontendClient(bridge, request), request.source, options);
  if (named !== undefined) {
    const { state, image } = named;
    return { definition: definitionToProto(state.marshal()), digest: undefined, ...runSettings(image?.config) };
  }
  const reference = formatReference(withDefaultTag(parseReference(request.source)));
  const found = await bridge.resolveImage(
    reference,
    { platform: undefined, resolveMode: "default", logName: "" },
    options,
  );
  const pinned = formatReference({ ...parseReference(found.ref), digest: found.digest });
  const definition = definitionToProto(imageSource(pinned, { recordType: "frontend" }).marshal());
  return { definition, digest: found.digest, ...runSettings(readRunConfig(found.config)) };
}

function readRunConfig(config: Uint8Array): unknown {
  try {
    const value = JSON.parse(Buffer.from(config).toString("utf8")) as unknown;
    return typeof value === "object" && value !== null && "config" in value ? value.config : undefined;
  } catch (cause) {
    throw new BuildError("invalid_argument", "Cannot read frontend image: its config is no JSON", { cause });
  }
}

/** The image comes from anywhere, so what is not of the right type counts as absent. */
function runSettings(config: unknown): Pick<FrontendImage, "args" | "env" | "cwd" | "labels"> {
  const { Entrypoint, Env, WorkingDir, Labels } = (
    typeof config === "object" && config !== null ? config : {}
  ) as Readonly<Record<string, unknown>>;
  const entrypoint = texts(Entrypoint);
  const labels = typeof Labels === "object" && Labels !== null ? Object.entries(Labels) : [];
  return {
    args: entrypoint.length > 0 ? entrypoint : defaultArgs,
    env: texts(Env),
    cwd: typeof WorkingDir === "string" && WorkingDir !== "" ? WorkingDir : "/",
    labels: new Map(labels.filter((entry): entry is [string, string] => typeof entry[1] === "string")),
  };
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
