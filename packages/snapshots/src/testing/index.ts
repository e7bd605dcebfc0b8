export { makeLayer, readSnapshot, snapshotterSuite, type TreeText } from "./snapshotter-suite.ts";
