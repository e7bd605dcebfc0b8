import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { endProcess, freePort } from "./processes.ts";

/** Debian's docker-registry on a free loopback port. */
export class TestRegistry implements AsyncDisposable {
  readonly host: string;
  readonly #child: ChildProcess;

  private constructor(host: string, child: ChildProcess) {
    this.host = host;
    this.#child = child;
  }

  static async start(folder: string): Promise<TestRegistry> {
    const host = `localhost:${await freePort()}`;
    const storage = join(folder, "registry");
    mkdirSync(storage, { recursive: true });
    const config = join(folder, "registry.yml");
    writeFileSync(
      config,
      `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${storage}}, delete: {enabled: true}}\nhttp: {addr: "${host}"}\n`,
    );
    const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
    for (let attempt = 0; ; attempt += 1) {
      try {
        const response = await fetch(`http://${host}/v2/`);
        await response.arrayBuffer();
        return new TestRegistry(host, child);
      } catch (error) {
        if (attempt > 500) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#child);
  }
}
