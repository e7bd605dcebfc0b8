/** What a device needs inside a container (CDI specification, "Container Edits"). */
export interface ContainerEdits {
  readonly env: readonly string[];
  readonly deviceNodes: readonly DeviceNode[];
  readonly mounts: readonly DeviceMount[];
  readonly hooks: readonly DeviceHook[];
  readonly additionalGids: readonly number[];
}

export interface DeviceNode {
  readonly path: string;
  /** On the host; `path` by default. */
  readonly hostPath?: string;
  /** Looked up on the host where absent. */
  readonly type?: "b" | "c" | "u" | "p";
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  /** Of `r`, `w`, `m`; all by default. */
  readonly permissions?: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface DeviceMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly options: readonly string[];
  readonly type: string;
}

/** When a hook runs, in the words of the OCI runtime spec. */
export const hookNames = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

export interface DeviceHook {
  readonly hookName: (typeof hookNames)[number];
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** In seconds. */
  readonly timeout?: number;
}

/** No edits at all. */
export const noEdits: ContainerEdits = { env: [], deviceNodes: [], mounts: [], hooks: [], additionalGids: [] };

/** All edits, in order. */
export function joinEdits(edits: readonly ContainerEdits[]): ContainerEdits {
  return {
    env: edits.flatMap(({ env }) => env),
    deviceNodes: edits.flatMap(({ deviceNodes }) => deviceNodes),
    mounts: edits.flatMap(({ mounts }) => mounts),
    hooks: edits.flatMap(({ hooks }) => hooks),
    additionalGids: edits.flatMap(({ additionalGids }) => additionalGids),
  };
}
