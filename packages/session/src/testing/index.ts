export { openTestSession, type TestSession } from "./open-test-session.ts";
