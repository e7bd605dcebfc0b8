import type { Frontend } from "../frontend.ts";
import { GatewayClient } from "../gateway-client.ts";
import { returnFrontend } from "../return-frontend.ts";
import { settingFromEnvironment } from "./frontend-setting.ts";
import { connectStdio } from "./stdio-connection.ts";

/**
 * Runs a frontend as the process of a frontend image: the whole `main` of one.
 *
 * Resolves when the daemon has the result or the failure. A daemon that goes away meanwhile ends it as well.
 */
export async function runFrontendImage(frontend: Frontend): Promise<void> {
  const setting = settingFromEnvironment(process.env);
  const connection = connectStdio();
  const ended = new AbortController();
  const end = (): void => ended.abort(new Error("The build has ended"));
  connection.once("close", end);
  process.once("SIGTERM", end);
  try {
    await returnFrontend(frontend, { gateway: new GatewayClient(connection), setting, signal: ended.signal });
  } catch (error) {
    // The daemon has not got it: it is told by the exit code, and its log by the text.
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  } finally {
    connection.close();
    process.stdin.destroy();
  }
}
