import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { getRawAsset } from "node:sea";
import { Script } from "node:vm";

let listener: ((script: Script) => void) | undefined;

/** Has whoever makes an executable know of each script that is loaded. */
export function onProgramLoaded(listen: (script: Script) => void): void {
  listener = listen;
}

/**
 * What a program that was bundled into the asset `programs/<name>.js` exports.
 *
 * It comes with V8's code cache, so that nothing is compiled at the start, and nothing of one program is read for the
 * other's sake.
 */
export function loadProgram(name: string): unknown {
  const filename = join(dirname(process.execPath), `${name}.js`);
  const source = Buffer.from(getRawAsset(`programs/${name}.js`)).toString("latin1");
  const script = new Script(source, { filename, cachedData: Buffer.from(getRawAsset(`programs/${name}.cache`)) });
  listener?.(script);
  return runProgram(script, filename);
}

/** Runs a script that {@linkcode wrapProgram} made, as Node runs a CommonJS module; gives its exports. */
export function runProgram(script: Script, filename: string): unknown {
  const module = { exports: {} };
  const run = script.runInThisContext() as (...scope: unknown[]) => void;
  run(module.exports, createRequire(process.execPath), module, filename, dirname(filename));
  return module.exports;
}
