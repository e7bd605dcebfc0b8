import type { ContainerEdits } from "@buildkit-ts/devices";
import type { Mount } from "@buildkit-ts/mount";
import type { StepProxy } from "@buildkit-ts/network";

/** A mount inside the container, at an absolute destination. */
export interface ContainerMount {
  readonly destination: string;
  /** Acquired when the container starts, and disposed after it has ended. */
  readonly mounts: readonly Mount[];
  /** Path inside the mounted tree; resolved beneath it, never outside. */
  readonly selector?: string;
  readonly readonly: boolean;
}

/** A span, as W3C trace headers name it. */
export interface ProcessTrace {
  readonly traceparent: string;
  readonly tracestate?: string;
}

export interface ProcessMeta {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly cwd: string;
  readonly hostname: string;
  readonly extraHosts: readonly { readonly host: string; readonly ip: string }[];
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly cgroupParent: string;
  readonly network: "sandbox" | "host" | "none";
  readonly security: "sandbox" | "insecure";
  readonly readonlyRootfs: boolean;
  readonly removeMountStubsRecursive: boolean;
  readonly tty: boolean;
  /** What the process's own spans belong to. */
  readonly trace?: ProcessTrace;
  readonly resources?: LinuxResources;
}

export interface LinuxResources {
  readonly memoryBytes?: number;
  readonly memorySwapBytes?: number;
  readonly cpuShares?: number;
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}

export interface ContainerRequest {
  /** Unique among running containers; names the cgroup and the runtime's container. */
  readonly id: string;
  readonly meta: ProcessMeta;
  readonly root: readonly Mount[];
  readonly mounts: readonly ContainerMount[];
  /** What devices need that the step was given. */
  readonly deviceEdits?: ContainerEdits;
  /** Holds the container to a proxy, unless it has no network at all. */
  readonly proxy?: StepProxy;
}

/** Where a process reads and writes. Output chunks are the receiver's own. */
export interface ProcessStreams {
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** A receiver that gives a promise is given more of that stream only when it has resolved: the process waits meanwhile. */
  onOutput(stream: 1 | 2, data: Uint8Array): void | Promise<void>;
  /** With `tty`: sizes to apply, as they come. */
  readonly resize?: AsyncIterable<{ readonly rows: number; readonly columns: number }>;
  /** Names of signals to send to the process, as they come. */
  readonly signals?: AsyncIterable<string>;
}

/**
 * Runs processes in containers.
 *
 * `run` returns when the process has ended *and* nothing of its container is left: no process, mount, cgroup or file
 * beside what the caller mounted. Aborting kills the whole container first and then rejects with the signal's reason.
 */
export interface Executor {
  /** @throws {ExitError}, for any exit code but 0; `invalid_argument`, for a request that no runtime can start. */
  run(request: ContainerRequest, streams: ProcessStreams, options: RunOptions): Promise<void>;
  /** Runs a further process in a container that `run` started and that still lives. */
  exec(
    id: string,
    meta: ProcessMeta,
    streams: ProcessStreams,
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /** Ends and removes what an earlier daemon left behind. */
  cleanup(): Promise<void>;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  /** Called once: when the process has been started, or at its end if that comes first. */
  readonly onStarted?: () => void;
}
