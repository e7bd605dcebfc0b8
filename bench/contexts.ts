import { createCipheriv } from "node:crypto";
import { closeSync, cpSync, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** Writes `folder/Dockerfile` and returns the folder. */
export function writeDockerfile(folder: string, ...lines: readonly string[]): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "Dockerfile"), `${lines.join("\n")}\n`);
  return folder;
}

/** A context whose Dockerfile starts from a shell of the host's static busybox, followed by `lines`. */
export function writeShellContext(folder: string, busybox: string, lines: readonly string[]): string {
  mkdirSync(join(folder, "bin"), { recursive: true });
  cpSync(busybox, join(folder, "bin/busybox"), { dereference: true });
  for (const name of ["sh", "true", "sleep", "echo", "cat"]) symlinkSync("busybox", join(folder, "bin", name));
  return writeDockerfile(folder, "FROM scratch AS base", "COPY bin /bin", ...lines);
}

/** 8,000 files of 200 to 8,000 bytes in 200 directories. */
export function writeManyFiles(folder: string): void {
  for (let directory = 0; directory < 200; directory++) {
    const path = join(folder, `package-${directory % 20}`, `module-${directory}`);
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < 40; file++) {
      const number = directory * 40 + file;
      const size = 200 + ((number * 7919) % 7800);
      writeFileSync(join(path, `file-${file}.txt`), `${number}: ${"lorem ipsum ".repeat(size / 12)}\n`);
    }
  }
}

/** A file whose every second block is random, so that it compresses to about a half; `seed` makes its bytes unlike others. */
export function writeHalfRandomFile(path: string, sizeBytes: number, seed: number): void {
  const block = 1 << 20;
  const key = Buffer.alloc(32, seed + 1);
  const cipher = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  const zeros = Buffer.alloc(block / 2);
  const text = Buffer.alloc(block / 2, `the quick brown fox ${seed} jumps over the lazy dog\n`);
  const file = openSync(path, "w");
  try {
    for (let written = 0; written < sizeBytes; written += block) {
      writeSync(file, cipher.update(zeros));
      writeSync(file, text);
    }
  } finally {
    closeSync(file);
  }
}
