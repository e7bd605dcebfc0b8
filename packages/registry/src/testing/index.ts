export { type Fault, TestRegistry, type TestRegistryOptions, type TestRequest } from "./test-registry.ts";
