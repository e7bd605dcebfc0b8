import { randomUUID } from "node:crypto";
import { unlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getRawAsset, isSea } from "node:sea";

/** The part of koffi that this package uses. */
export interface Koffi {
  load(path: null): LibraryHandle;
  errno(): number;
}

/** Symbols of the C library that this process is linked with. */
export interface LibraryHandle {
  func(signature: string): NativeFunction;
}

export interface NativeFunction {
  (...args: unknown[]): unknown;
  async(...args: unknown[]): void;
}

let loaded: Koffi | undefined;

/**
 * The foreign-function library, loaded at its first use in each thread, so that programs that make no system call
 * of their own do not pay for it.
 *
 * A single executable carries the native module as the asset `koffi.node`. The loader needs a file: it gets a private
 * one that has no name any more when this function returns.
 */
export function loadKoffi(): Koffi {
  loaded ??= isSea() ? loadFromAsset() : (createRequire(import.meta.url)("koffi") as Koffi);
  return loaded;
}

function loadFromAsset(): Koffi {
  const path = join(tmpdir(), `koffi-${randomUUID()}.node`);
  // `wx` refuses a file or symbolic link that someone else put there.
  writeFileSync(path, new Uint8Array(getRawAsset("koffi.node")), { flag: "wx", mode: 0o700 });
  try {
    const module = { exports: {} as Koffi };
    process.dlopen(module, path);
    return module.exports;
  } finally {
    unlinkSync(path);
  }
}
