import type { SourceRange } from "@buildkit-ts/errdefs";
import { type State, scratch } from "@buildkit-ts/llb";
import type { Platform } from "@buildkit-ts/oci";
import type { ArgDefinition, Instruction, Stage } from "../instructions/instruction.ts";
import type { Environment } from "../shell/environment.ts";
import type { NamedContext } from "./convert-options.ts";
import { blankImage, copyImage, type ImageDraft } from "./image-draft.ts";
import { StageOutline } from "./stage-outline.ts";

/** An instruction with the stages that it takes files from. */
export interface StageCommand {
  readonly instruction: Instruction;
  readonly sources: readonly BuildStage[];
  readonly isOnbuild: boolean;
}

/** A stage while it is converted; also an image that COPY or a mount names, as a stage without commands. */
export class BuildStage {
  readonly stage: Stage;
  /** The base after variables; later the resolved reference. */
  baseName: string;
  /** Name in step names; empty if there is but one stage. */
  displayName: string;
  /** The stage that this one is built on, if its base is one. */
  base: BuildStage | undefined;
  platform: Platform | undefined;
  state: State = scratch();
  image: ImageDraft = blankImage();
  /** The base image as it was, for the exporter. */
  baseImage: ImageDraft | undefined;
  namedContext: NamedContext | undefined;
  /** Not from a FROM. */
  readonly isImplicit: boolean;
  isResolved: boolean = false;
  isDispatched: boolean = false;
  hasTriggers: boolean = false;
  ignoresCache: boolean = false;
  readonly dependencies: Map<BuildStage, Instruction> = new Map();
  buildArgs: ArgDefinition[] = [];
  commands: StageCommand[] = [];
  /** Paths of the build context that the stage uses. */
  readonly contextPaths: Set<string> = new Set();
  /** Paths of this stage's own files that others use; shared with its base, which has to provide them. */
  paths: Set<string> = new Set();
  /** Global arguments that FROM refers to. */
  fromArgs: readonly string[] = [];
  stepIndex: number = 0;
  stepTotal: number = 0;
  workdirSet: boolean = false;
  /** How many ports EXPOSE has listed, those of the base included. */
  exposedPorts: number = 0;
  scansStage: boolean = false;
  scansContext: boolean = false;
  outline: StageOutline;
  /** Where an instruction was that is only allowed once. */
  readonly seenOnce: Map<"cmd" | "entrypoint" | "healthcheck", readonly SourceRange[]> = new Map();

  constructor(stage: Stage, options: { readonly outline: StageOutline; readonly isImplicit?: boolean }) {
    this.stage = stage;
    this.baseName = stage.baseName;
    this.displayName = stage.stageName;
    this.outline = options.outline;
    this.isImplicit = options.isImplicit === true;
  }

  /** Takes over what the base stage has by now. */
  inherit(): void {
    const { base } = this;
    if (base === undefined) return;
    this.state = base.state;
    this.platform = base.platform;
    this.image = copyImage(base.image);
    delete this.image.config.OnBuild;
    this.baseImage = base.baseImage;
    this.paths = base.paths;
    this.workdirSet = base.workdirSet;
    this.exposedPorts = base.exposedPorts;
    this.buildArgs = [...this.buildArgs, ...base.buildArgs];
  }

  /** The stage's variables at this point. */
  get environment(): Environment {
    const { env } = this.state;
    return { get: (name) => env.get(name), keys: () => [...env.keys()] };
  }
}

/** A stage for an image that only COPY or a mount names. */
export function implicitStage(baseName: string, location: readonly SourceRange[]): BuildStage {
  const stage: Stage = {
    kind: "from",
    name: "",
    code: "",
    location,
    comments: [],
    stageName: "",
    baseName,
    platform: "",
    description: "",
    commands: [],
  };
  const implicit = new BuildStage(stage, { outline: new StageOutline(), isImplicit: true });
  return implicit;
}

/** The stage and all that it needs. */
export function reachableFrom(stage: BuildStage): Set<BuildStage> {
  const reached = new Set([stage]);
  // A set visits what is added while it is walked: no recursion, however long the chain.
  for (const one of reached) {
    if (one.base !== undefined) reached.add(one.base);
    for (const dependency of one.dependencies.keys()) reached.add(dependency);
  }
  return reached;
}
