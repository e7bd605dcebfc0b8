import type { FrontendSetting } from "../frontend-client.ts";

const optionPrefix = "BUILDKIT_FRONTEND_OPT_";

/** What a daemon tells the frontend's container by environment variables. */
export function settingFromEnvironment(environment: Readonly<Record<string, string | undefined>>): FrontendSetting {
  const options: Record<string, string> = {};
  for (const [name, text = ""] of Object.entries(environment)) {
    if (!name.startsWith(optionPrefix)) continue;
    const equals = text.indexOf("=");
    if (equals > 0) options[text.slice(0, equals)] = text.slice(equals + 1);
  }
  return {
    options,
    sessionId: environment["BUILDKIT_SESSION_ID"] ?? "",
    product: environment["BUILDKIT_EXPORTEDPRODUCT"] ?? "",
  };
}
