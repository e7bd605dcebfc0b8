import { mkdirSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { NetworkResults } from "./cni-networks.ts";

/** What is needed to detach a namespace again. */
export interface Attachment {
  readonly hostname: string;
  readonly results: NetworkResults;
}

/** Remembers attachments for the daemon that follows on a killed one: firewall rules outlive namespaces. */
export class AttachmentFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  async save(id: string, attachment: Attachment): Promise<void> {
    await writeFile(this.#path(id), JSON.stringify(attachment), { mode: 0o600 });
  }

  /** One that was never saved, or only in part, is empty: plugins detach as much as they find themselves. */
  async load(id: string): Promise<Attachment> {
    try {
      return JSON.parse(await readFile(this.#path(id), "utf8")) as Attachment;
    } catch {
      return { hostname: "", results: {} };
    }
  }

  async delete(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  #path(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}
