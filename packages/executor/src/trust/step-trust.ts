import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Mount } from "@buildkit-ts/mount";
import type { RuntimeMount } from "../runtime-spec.ts";
import { CopiedUpFile } from "./copied-up-file.ts";
import { TrustBundle } from "./trust-bundle.ts";

/**
 * A step's trust in the authority of its proxy, as long as the step runs: nothing of it is in what the step leaves.
 *
 *     new ──mount the root──▶ begin() ──▶ the step ──dispose what begin() gave──▶ unmount the root ──dispose──▶ gone
 */
export class StepTrust implements Disposable {
  readonly #certificate: string;
  readonly #root: readonly Mount[];
  #copied: CopiedUpFile | undefined;

  constructor(certificate: string, root: readonly Mount[]) {
    this.#certificate = certificate;
    this.#root = root;
  }

  /** Writes to the mounted root. */
  begin(rootPath: string): Disposable {
    const bundle = new TrustBundle(rootPath, this.#certificate);
    const { path } = bundle;
    const copied = path === undefined ? undefined : CopiedUpFile.find(this.#root, { rootPath, path });
    bundle.extend();
    return {
      [Symbol.dispose]: () => {
        if (bundle.restore()) this.#copied = copied;
      },
    };
  }

  /** The same for a root that nobody can write to, by a mount. @param directory Where a file may be left for it. */
  async mounts(rootPath: string, directory: string): Promise<RuntimeMount[]> {
    const { path, extended } = new TrustBundle(rootPath, this.#certificate);
    if (path === undefined) return [];
    const source = join(directory, "trusted.pem");
    await writeFile(source, extended, { mode: 0o444, flag: "wx" });
    return [{ destination: path, type: "bind", source, options: ["nosuid", "noexec", "nodev", "rbind", "ro"] }];
  }

  [Symbol.dispose](): void {
    this.#copied?.remove();
  }
}
