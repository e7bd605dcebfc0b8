export type {
  ContainerMount,
  ContainerRequest,
  Executor,
  LinuxResources,
  ProcessMeta,
  ProcessStreams,
  RunOptions,
} from "./executor.ts";
