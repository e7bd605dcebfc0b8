export type { FrontendClient, FrontendRef, FrontendResult, FrontendWarning, ResolvedImage } from "./frontend-client.ts";
