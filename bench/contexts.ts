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

/** Files of 200 to 8,000 bytes, 40 in a directory. */
export function writeManyFiles(folder: string, files: number): void {
  for (let directory = 0; directory < files / 40; directory++) {
    const path = join(folder, `package-${directory % 20}`, `module-${directory}`);
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < 40; file++) {
      const number = directory * 40 + file;
      const size = 200 + ((number * 7919) % 7800);
      writeFileSync(join(path, `file-${file}.txt`), `${number}: ${"lorem ipsum ".repeat(size / 12)}\n`);
    }
  }
}

/** Stages of ten lines each, all of which the last one copies from; a context for them has `bin/cat`. */
export function manyStages(stages: number): string[] {
  const lines = Array.from({ length: stages }, (_, stage) => [
    `FROM base AS stage-${stage}`,
    `ARG NAME_${stage}=value`,
    `ENV FIRST=\${NAME_${stage}:-none} SECOND="a b c"`,
    "ENV THIRD=$FIRST-$SECOND",
    'LABEL maintainer=bench version="1.0"',
    "USER 1000:1000",
    "EXPOSE 8080/tcp",
    `COPY bin/cat /work/${stage}/copied-\${FIRST}`,
    "STOPSIGNAL SIGTERM",
    'CMD ["/bin/cat", "/etc/hostname"]',
  ]).flat();
  const copies = Array.from({ length: stages }, (_, stage) => `COPY --from=stage-${stage} /work/${stage} /`);
  return [...lines, "FROM scratch", ...copies];
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
