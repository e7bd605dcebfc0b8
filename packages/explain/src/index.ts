export { StepExplainer, type StepExplainerOptions } from "./step-explainer.ts";
export { StepStore, type StepStoreOptions } from "./step-store.ts";
