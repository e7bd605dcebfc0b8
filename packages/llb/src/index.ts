export type { Definition } from "./definition.ts";
