import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

/** A docker-registry with its blobs below a folder, for both daemons to pull from. */
export interface LocalRegistry extends AsyncDisposable {
  readonly host: string;
}

export async function startLocalRegistry(directory: string): Promise<LocalRegistry> {
  mkdirSync(directory, { recursive: true });
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(directory, "config.yaml");
  const storage = join(directory, "storage");
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${storage}}}\nhttp: {addr: "${host}"}\n`,
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  const ended = new Promise<void>((settle) => void child.once("close", settle).once("error", () => settle()));
  for (let attempt = 0; !(await answers(`http://${host}/v2/`)); attempt++) {
    if (attempt === 100) throw new Error("Cannot start docker-registry: it does not answer");
    await new Promise((settle) => setTimeout(settle, 50));
  }
  return {
    host,
    [Symbol.asyncDispose]: async (): Promise<void> => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  return await new Promise((settle) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => settle(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
