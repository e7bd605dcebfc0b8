export { makeLayer, readSnapshot, type TreeText } from "./layer-trees.ts";
export { snapshotterSuite } from "./snapshotter-suite.ts";
