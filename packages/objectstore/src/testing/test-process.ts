import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";

const modules = join(import.meta.dirname, "../../../../.cache/tools/servers/node_modules");

/** A server from npm that `tools/setup.mjs test` has installed, on a loopback port of its own. */
export class TestProcess implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  /** @param script Of a package, such as `azurite/dist/src/blob/main.js`. */
  static async start(
    script: string,
    argsFor: (port: number) => readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<TestProcess> {
    const path = join(modules, script);
    if (!existsSync(path)) throw new Error(`Cannot find ${path}: run "node tools/setup.mjs test"`);
    const port = await freePort();
    const listening = Promise.withResolvers<void>();
    let output = "";
    const child = spawn(process.execPath, ["--no-deprecation", path, ...argsFor(port)], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    // Each says so when it listens; what else it says is no sign of it.
    const look = async (): Promise<void> => {
      if (await isListening(port)) listening.resolve();
    };
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        output += String(chunk);
        look().catch(listening.reject);
      });
    child.once("exit", () => listening.reject(new Error(`${script} did not start:\n${output}`)));
    const timer = setTimeout(() => listening.reject(new Error(`${script} does not listen:\n${output}`)), 60_000);
    try {
      await listening.promise;
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return new TestProcess(port, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await exited;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function isListening(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
