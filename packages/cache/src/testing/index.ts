export { prunePlanTime } from "./prune-plan-time.ts";
export {
  commitTree,
  ensureDirectory,
  listRoot,
  makeTestRoot,
  openTestCache,
  quiet,
  readTree,
  type TestCache,
} from "./test-cache.ts";
