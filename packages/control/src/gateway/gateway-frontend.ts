import { create, toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { type Clock, systemClock } from "@buildkit-ts/async";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { hostPlatform, parseReference } from "@buildkit-ts/oci";
import { noProgress } from "@buildkit-ts/progress";
import type { OpContext } from "@buildkit-ts/solver";
import type { StepContainer } from "@buildkit-ts/worker";
import type { BridgeResult } from "../bridge/bridge-ref.ts";
import type { BridgeSolveRequest, BuildBridge, BuiltinFrontend } from "../bridge/build-bridge.ts";
import { FrontendRun } from "../bridge/frontend-run.ts";
import { checkFrontendCapabilities } from "./frontend-capabilities.ts";
import { frontendEnvironment } from "./frontend-environment.ts";
import { type FrontendImage, findFrontendImage } from "./frontend-image.ts";
import { runFrontend } from "./run-frontend.ts";

/** How frontends are run that are images. */
export interface GatewayOptions {
  /** Repositories whose images may be run; all of them unless given. */
  readonly allowedRepositories?: readonly string[];
  /** Is given what frontends write to their standard error, a line at a time. */
  readonly log: (line: string, source: string) => void;
  readonly clock?: Clock;
}

/** Where a frontend finds the definition of its own image. */
const metadataDirectory = "/run/config/buildkit/metadata";
const networkLabel = "moby.buildkit.frontend.network.none";

/** `gateway.v0`: runs the image that the option `source` names, in a container that asks its build for what it needs. */
export function createGatewayFrontend(options: GatewayOptions): BuiltinFrontend {
  const { allowedRepositories = [], log, clock = systemClock } = options;
  const allowed = new Set(allowedRepositories.map(repositoryOf));
  return async (bridge, request, { signal }): Promise<BridgeResult> => {
    if (request.options["gateway-devel"] !== undefined) {
      throw new BuildError("invalid_argument", "development gateway is no longer supported");
    }
    const source = request.options["source"];
    if (source === undefined) throw new BuildError("invalid_argument", "no source specified for gateway");
    if (allowed.size > 0 && !allowed.has(repositoryOf(source))) {
      throw new BuildError("permission_denied", `'${source}' is not an allowed gateway source`);
    }
    const image = await findFrontendImage(bridge, { ...request, source }, { signal });
    checkFrontendCapabilities(image, {
      list: request.options["frontend.caps"] ?? "",
      inputs: Object.keys(request.inputs).length > 0,
    });
    const tree = await pullImage(bridge, image, signal);
    await using run = new FrontendRun(bridge, request.inputs);
    await using container = await openContainer(bridge, { image, tree, source, signal });
    const env = [
      ...image.env,
      ...frontendEnvironment({ ...request, session: bridge.session, worker: bridge.engine.worker }),
    ];
    const process = create(opspb.MetaSchema, {
      args: [...image.args],
      env,
      cwd: image.cwd,
      removeMountStubsRecursive: true,
    });
    return await runFrontend({ run, container, process, source }, { signal, clock, log: (line) => log(line, source) });
  };
}

/** The name without tag and digest. */
function repositoryOf(reference: string): string {
  const { domain, path } = parseReference(reference);
  return `${domain}/${path}`;
}

async function pullImage(bridge: BuildBridge, image: FrontendImage, signal: AbortSignal): Promise<ImmutableRef> {
  const { ref } = await bridge.solve(solveRequest(image.definition), { signal });
  const tree = await ref?.tree({ signal });
  if (tree === undefined) throw new BuildError("invalid_argument", "gateway source didn't return default result");
  return tree;
}

function solveRequest(definition: opspb.Definition): BridgeSolveRequest {
  return { definition, frontend: "", options: {}, inputs: {}, cacheImports: [], evaluate: false };
}

async function openContainer(
  bridge: BuildBridge,
  frontend: {
    readonly image: FrontendImage;
    readonly tree: ImmutableRef;
    readonly source: string;
    readonly signal: AbortSignal;
  },
): Promise<StepContainer> {
  const { image, tree, source, signal } = frontend;
  const { job, engine } = bridge;
  const isolated = /^(?:1|t|true)$/i.test(image.labels.get(networkLabel) ?? "");
  const context: OpContext = {
    signal,
    progress: noProgress,
    sessions: () => job.sessions(),
    values: (key) => [job.value(key)].filter((value) => value !== undefined),
  };
  return await engine.openContainer({
    name: `frontend ${source}`,
    mounts: [create(opspb.MountSchema, { dest: "/", input: 0n, output: 0n })],
    inputs: [tree],
    files: {
      destination: metadataDirectory,
      files: new Map([["frontend.bin", toBinary(opspb.DefinitionSchema, image.definition)]]),
    },
    network: isolated ? opspb.NetMode.NONE : opspb.NetMode.UNSET,
    isProxied: bridge.proxyNetwork,
    hostname: "",
    extraHosts: [],
    os: hostPlatform().os,
    // A frontend is no step of the build: what the build may do beyond the sandbox is not for it.
    granted: new Set(),
    context,
  });
}
