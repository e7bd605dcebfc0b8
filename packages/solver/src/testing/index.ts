export { cacheStoreSuite } from "./cache-store-suite.ts";
export { FakeResult, FakeResults } from "./fake-results.ts";
export { FakeVertex, type FakeVertexOptions, resolveFake } from "./fake-vertex.ts";
export { eventsOf, lastOf, SolverFixture } from "./solver-fixture.ts";
