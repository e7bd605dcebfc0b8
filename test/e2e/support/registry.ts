import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { endProcess, freePort } from "./processes.ts";

/** How a registry is protected; by default not at all. */
export interface TestRegistryOptions {
  /** Of its folder; default `registry`. */
  readonly name?: string;
  /** With `ca`, clients need a certificate that it signed. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string };
  /** A file of users and bcrypt hashes. */
  readonly htpasswd?: string;
}

/** Debian's docker-registry on a free loopback port. */
export class TestRegistry implements AsyncDisposable {
  readonly host: string;
  readonly #child: ChildProcess;

  private constructor(host: string, child: ChildProcess) {
    this.host = host;
    this.#child = child;
  }

  static async start(folder: string, options: TestRegistryOptions = {}): Promise<TestRegistry> {
    const { name = "registry", tls, htpasswd } = options;
    const host = `localhost:${await freePort()}`;
    const storage = join(folder, name);
    mkdirSync(storage, { recursive: true });
    const config = join(folder, `${name}.yml`);
    const clients = tls?.ca === undefined ? "" : `, clientcas: [${tls.ca}]`;
    const security = tls === undefined ? [] : [`tls: {certificate: ${tls.cert}, key: ${tls.key}${clients}}`];
    writeFileSync(
      config,
      `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${storage}}, delete: {enabled: true}}\nhttp: {${[`addr: "${host}"`, ...security].join(", ")}}\n${
        htpasswd === undefined ? "" : `auth: {htpasswd: {realm: test, path: ${htpasswd}}}\n`
      }`,
    );
    const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
    for (let attempt = 0; ; attempt += 1) {
      if (await isListening(host)) return new TestRegistry(host, child);
      if (attempt > 500) throw new Error("the registry did not start");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#child);
  }
}

async function isListening(host: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(Number(host.split(":")[1]), "localhost", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
