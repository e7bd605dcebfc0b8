import { execFile } from "node:child_process";
import { BuildError } from "@buildkit-ts/errdefs";

/** The parameters of a plugin's call (CNI specification 1.0, section 2). */
export interface PluginCall {
  readonly command: "ADD" | "DEL";
  readonly containerId: string;
  readonly namespacePath: string;
  /** Of the device inside the namespace. */
  readonly interfaceName: string;
  /** `KEY=value` pairs; empty for none. */
  readonly args: string;
  /** Where plugins are looked up, by the daemon and by plugins that call others. */
  readonly directories: readonly string[];
}

const maxOutputBytes = 4 << 20;
/** Plugins ask a kernel or a local daemon; one that takes longer waits for something that never comes. */
const timeoutMs = 60_000;

/**
 * Runs a plugin with its configuration on standard input, and gives what it printed.
 *
 * @throws {BuildError} `failed_precondition`, with the plugin's own words.
 */
export async function runPlugin(program: string, config: object, call: PluginCall): Promise<unknown> {
  const { status, stdout, stderr } = await execute(program, JSON.stringify(config), {
    // Plugins look for their own tools, such as iptables.
    PATH: process.env["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    CNI_COMMAND: call.command,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.namespacePath,
    CNI_IFNAME: call.interfaceName,
    CNI_ARGS: call.args,
    CNI_PATH: call.directories.join(":"),
  });
  const answer = parseJson(stdout);
  if (status === 0) return answer;
  throw new BuildError(
    "failed_precondition",
    `CNI plugin "${program}" failed to ${call.command}: ${failureText(answer) ?? `${status}: ${stderr.trim() || stdout.trim()}`}`,
  );
}

interface Outcome {
  /** 0, or what is known of the failure. */
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

async function execute(program: string, input: string, env: Readonly<Record<string, string>>): Promise<Outcome> {
  return await new Promise((resolve) => {
    const options = { env, maxBuffer: maxOutputBytes, timeout: timeoutMs, killSignal: "SIGKILL" as const };
    const child = execFile(program, [], options, (error, stdout, stderr) => {
      const status = error === null ? 0 : error.killed === true ? "it took too long" : (error.code ?? error.message);
      resolve({ status, stdout, stderr });
    });
    // A plugin may end without reading its input; its exit says why.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Plugins print nothing for DEL, and anything when they crash.
    return undefined;
  }
}

function failureText(answer: unknown): string | undefined {
  const { msg, details } = (answer ?? {}) as { readonly msg?: unknown; readonly details?: unknown };
  if (typeof msg !== "string") return undefined;
  return typeof details === "string" && details !== "" ? `${msg}: ${details}` : msg;
}
