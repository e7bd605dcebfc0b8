import { contentStoreSuite } from "../testing/index.ts";
import { MemoryContentStore } from "./memory-content-store.ts";

contentStoreSuite("MemoryContentStore", async () => await Promise.resolve(new MemoryContentStore()));
