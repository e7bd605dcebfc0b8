export type { ObjectStore, StoreAttributes, StoreEnvironment, StoreOptions } from "./object-store.ts";
export { isStoreType, openObjectStore, type StoreType } from "./open-object-store.ts";
