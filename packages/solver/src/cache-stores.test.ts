import { DatabaseSync } from "node:sqlite";
import { MemoryCacheStore } from "./memory-cache-store.ts";
import { SqliteCacheStore } from "./sqlite-cache-store.ts";
import { cacheStoreSuite } from "./testing/cache-store-suite.ts";

cacheStoreSuite("MemoryCacheStore", (results) => new MemoryCacheStore({ id: "local", results }));
cacheStoreSuite(
  "SqliteCacheStore",
  (results) => new SqliteCacheStore({ id: "local", database: new DatabaseSync(":memory:"), results }),
);
