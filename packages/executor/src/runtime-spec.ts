/** The parts of the OCI runtime spec (config.json) that are written here. */
export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process: RuntimeProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname?: string;
  readonly mounts: readonly RuntimeMount[];
  readonly linux: RuntimeLinux;
  readonly hooks?: RuntimeHooks;
}

/** Programs that the runtime runs, by the moment at which it does. */
export type RuntimeHooks = Readonly<Record<string, readonly object[]>>;

export interface RuntimeUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

export interface RuntimeProcess {
  readonly terminal: boolean;
  readonly user: RuntimeUser;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: Readonly<Record<"bounding" | "effective" | "permitted", readonly string[]>> & {
    readonly inheritable?: readonly string[];
    readonly ambient?: readonly string[];
  };
  readonly rlimits?: readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
  readonly noNewPrivileges: boolean;
  readonly apparmorProfile?: string;
  readonly oomScoreAdj?: number;
}

export interface RuntimeMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface RuntimeDevice {
  readonly path: string;
  readonly type: "c" | "b" | "u" | "p";
  readonly major: number;
  readonly minor: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface RuntimeLinux {
  readonly cgroupsPath: string;
  readonly namespaces: readonly { readonly type: string; readonly path?: string }[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly devices?: readonly RuntimeDevice[];
  readonly resources: {
    readonly devices: readonly {
      readonly allow: boolean;
      readonly type?: "c" | "b";
      readonly major?: number;
      readonly minor?: number;
      readonly access: string;
    }[];
    readonly memory?: { readonly limit?: number; readonly swap?: number };
    readonly cpu?: {
      readonly shares?: number;
      readonly quota?: number;
      readonly period?: number;
      readonly cpus?: string;
      readonly mems?: string;
    };
  };
  readonly seccomp?: RuntimeSeccomp;
}

export interface RuntimeSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet: number;
  readonly architectures?: readonly string[];
  readonly syscalls: readonly {
    readonly names: readonly string[];
    readonly action: string;
    readonly errnoRet?: number;
    readonly args?: readonly object[];
  }[];
}
