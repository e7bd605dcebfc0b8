export type { Mount } from "./mount.ts";
