export {
  noProgress,
  type ProgressWriter,
  type StatusUpdate,
  type SubVertex,
  type VertexWarning,
  withStatus,
  withVertex,
} from "./progress.ts";
