import type { SourceRange } from "@buildkit-ts/errdefs";

/** A build argument that a stage declares. */
export interface ArgInfo {
  readonly key: string;
  readonly value: string;
  readonly description: string;
  readonly location: readonly SourceRange[];
  /** Arguments that its default value refers to. */
  readonly dependencies: ReadonlySet<string>;
}

/** A secret or SSH socket that a stage mounts. */
export interface MountInfo {
  readonly required: boolean;
  readonly location: readonly SourceRange[];
}

/** What a stage takes from outside, gathered for the subrequest `frontend.outline`. */
export class StageOutline {
  readonly args: Map<string, ArgInfo>;
  readonly usedArgs: Set<string>;
  readonly secrets: Map<string, MountInfo>;
  readonly ssh: Map<string, MountInfo>;

  constructor(from?: StageOutline) {
    this.args = new Map(from?.args);
    this.usedArgs = new Set(from?.usedArgs);
    this.secrets = new Map(from?.secrets);
    this.ssh = new Map(from?.ssh);
  }

  /** Names of used arguments and of all that their defaults refer to. */
  allUsedArgs(): ReadonlySet<string> {
    const used = new Set(this.usedArgs);
    // A set visits what is added while it is walked.
    for (const name of used) for (const dependency of this.args.get(name)?.dependencies ?? []) used.add(dependency);
    return used;
  }
}
