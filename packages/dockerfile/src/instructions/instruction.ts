import type { SourceRange } from "@buildkit-ts/errdefs";
import type { HealthConfig } from "@buildkit-ts/oci";
import type { RunMountFlag } from "./run-mount.ts";

/** What every instruction has. */
interface Base {
  /** The keyword as typed. */
  readonly name: string;
  /** The source without surrounding blanks. */
  readonly code: string;
  readonly location: readonly SourceRange[];
  readonly comments: readonly string[];
}

/** A name and a value in order of appearance. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** Whether it was written the old way, with a blank instead of `=`. */
  readonly legacy: boolean;
}

/** A build argument's declaration. */
export interface ArgDefinition {
  readonly key: string;
  readonly value: string | undefined;
  /** Text of the comment `# <key> <description>` above. */
  readonly description: string;
}

/** A file whose content stands in the Dockerfile. */
export interface InlineFile {
  readonly name: string;
  readonly data: string;
  readonly chomp: boolean;
}

/** A command with its here-documents. */
export interface CommandLine {
  readonly args: readonly string[];
  readonly files: readonly InlineFile[];
  /** Whether it is text for a shell, not an argument vector. */
  readonly shell: boolean;
}

/** An inline source of COPY or ADD. */
export interface InlineSource {
  readonly path: string;
  readonly data: string;
  readonly expand: boolean;
}

/** What COPY and ADD share. */
export interface Transfer {
  readonly sources: readonly string[];
  readonly inline: readonly InlineSource[];
  readonly destination: string;
  readonly chown: string;
  readonly chmod: string;
  readonly link: boolean;
  readonly exclude: readonly string[];
}

export interface EnvInstruction extends Base {
  readonly kind: "env";
  readonly pairs: readonly KeyValue[];
}
export interface LabelInstruction extends Base {
  readonly kind: "label";
  readonly pairs: readonly KeyValue[];
}
export interface MaintainerInstruction extends Base {
  readonly kind: "maintainer";
  readonly maintainer: string;
}
export interface AddInstruction extends Base, Transfer {
  readonly kind: "add";
  readonly keepGitDir: boolean | undefined;
  readonly checksum: string;
  readonly unpack: boolean | undefined;
}
export interface CopyInstruction extends Base, Transfer {
  readonly kind: "copy";
  readonly from: string;
  readonly parents: boolean;
}
export interface OnbuildInstruction extends Base {
  readonly kind: "onbuild";
  readonly expression: string;
}
export interface WorkdirInstruction extends Base {
  readonly kind: "workdir";
  readonly path: string;
}
export interface RunInstruction extends Base {
  readonly kind: "run";
  readonly command: CommandLine;
  /** `--mount` values, read again with variables expanded when the instruction is converted. */
  readonly mounts: readonly RunMountFlag[];
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
  readonly devices: readonly RunDevice[];
}

/** A device of the host that a command wants. */
export interface RunDevice {
  readonly name: string;
  /** Without it the command runs where there is no such device. */
  readonly required: boolean;
}
export interface CmdInstruction extends Base {
  readonly kind: "cmd";
  readonly command: CommandLine;
}
export interface EntrypointInstruction extends Base {
  readonly kind: "entrypoint";
  readonly command: CommandLine;
}
export interface HealthcheckInstruction extends Base {
  readonly kind: "healthcheck";
  readonly health: HealthConfig;
}
export interface ExposeInstruction extends Base {
  readonly kind: "expose";
  readonly ports: readonly string[];
}
export interface UserInstruction extends Base {
  readonly kind: "user";
  readonly user: string;
}
export interface VolumeInstruction extends Base {
  readonly kind: "volume";
  readonly volumes: readonly string[];
}
export interface StopsignalInstruction extends Base {
  readonly kind: "stopsignal";
  readonly signal: string;
}
export interface ArgInstruction extends Base {
  readonly kind: "arg";
  readonly args: readonly ArgDefinition[];
}
export interface ShellInstruction extends Base {
  readonly kind: "shell";
  readonly shell: readonly string[];
}

/** An instruction inside a stage. */
export type Instruction =
  | EnvInstruction
  | LabelInstruction
  | MaintainerInstruction
  | AddInstruction
  | CopyInstruction
  | OnbuildInstruction
  | WorkdirInstruction
  | RunInstruction
  | CmdInstruction
  | EntrypointInstruction
  | HealthcheckInstruction
  | ExposeInstruction
  | UserInstruction
  | VolumeInstruction
  | StopsignalInstruction
  | ArgInstruction
  | ShellInstruction;

/** FROM and what follows it. */
export interface Stage extends Base {
  readonly kind: "from";
  /** Lower case; empty if it has none. */
  readonly stageName: string;
  readonly baseName: string;
  readonly platform: string;
  readonly description: string;
  readonly commands: readonly Instruction[];
}
