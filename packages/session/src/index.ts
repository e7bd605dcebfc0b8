export type { SessionCaller, SessionManager } from "./session.ts";
