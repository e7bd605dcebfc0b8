import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { createTraceServer, type TraceStore } from "@buildkit-ts/control";

/** Where processes of steps send their spans. */
export interface TraceSocket extends AsyncDisposable {
  /** Empty, where nothing can be listened on. */
  readonly path: string;
}

/** Collects spans on a socket of the daemon's own. A daemon without one works as well, so a failure is only told of. */
export async function openTraceSocket(
  path: string,
  options: { readonly store: TraceStore; readonly warn: (text: string) => void },
): Promise<TraceSocket> {
  const server = createTraceServer(options.store);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
    // The root's lock is held, so whoever made it is gone.
    rmSync(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    // Processes of steps run as anybody.
    chmodSync(path, 0o666);
  } catch (error) {
    options.warn(`steps have no socket for their traces: ${error instanceof Error ? error.message : String(error)}`);
    return { path: "", [Symbol.asyncDispose]: async () => undefined };
  }
  server.unref();
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      server.close();
      rmSync(path, { force: true });
    },
  };
}
