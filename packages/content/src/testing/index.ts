export { contentStoreSuite } from "./content-store-suite.ts";
