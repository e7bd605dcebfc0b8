import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What running steps have beneath a root: mounts, containers and their bundles, and processes by a word of their own. */
export function leftovers(root: string, word: string = root): string[] {
  const found = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    // At a place of the root, or of one of its trees somewhere else.
    .filter((line) => line.split(" ")[4]?.startsWith(`${root}/`) === true || line.includes(`${root}/snapshots/`))
    .map((line) => `mount ${line}`);
  const executor = join(root, "executor");
  for (const name of list(join(executor, "runtime"))) found.push(`container ${name}`);
  for (const name of list(executor)) if (existsSync(join(executor, name, "rootfs"))) found.push(`bundle ${name}`);
  for (const name of list(join(root, "staging"))) found.push(`staging/${name}`);
  for (const name of list(join(root, "tmp"))) found.push(`tmp/${name}`);
  for (const name of list(join(root, "content/content/ingest"))) found.push(`ingest/${name}`);
  return [...found, ...processesWith(word)];
}

/** Waits until nothing is left. @returns what is left when the time is over. */
export async function leftoversAfter(root: string, options: { word?: string; timeoutMs: number }): Promise<string[]> {
  const deadline = Date.now() + options.timeoutMs;
  for (;;) {
    const left = leftovers(root, options.word);
    if (left.length === 0 || Date.now() > deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function processesWith(word: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      const steps = /\b(?:runc|crun|sleep|sh)\b/.test(command.split(" ", 1)[0] ?? "");
      if (steps && command.includes(word)) found.push(`process ${pid}: ${command}`);
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}
