import type {
  IncompleteReason,
  IncompleteRequest,
  ProxiedRequest,
  ProxyMaterial,
  ProxyReport,
} from "./proxy-report.ts";

/** Texts of a step's requests that are kept, and what each one counts beside its URL. */
const maxBytes = 8 << 20;
const recordBytes = 100;

/** Collects what a step asked for. A step may ask for anything any number of times: what is too much is told as such. */
export class ProxyRecords {
  readonly #requests: ProxiedRequest[] = [];
  readonly #materials = new Map<string, ProxyMaterial>();
  readonly #incomplete: IncompleteRequest[] = [];
  /** By where an answer sent the step, the requests that were answered so. */
  readonly #redirected = new Map<string, Set<string>>();
  #room: number;
  #isFull = false;

  constructor(options: { readonly maxBytes?: number } = {}) {
    this.#room = options.maxBytes ?? maxBytes;
  }

  addRequest(request: ProxiedRequest, redirectTarget?: string): void {
    if (!this.#take(request.url)) return;
    this.#requests.push(request);
    if (redirectTarget === undefined || redirectTarget === request.url || !this.#take(redirectTarget)) return;
    const sources = this.#redirected.get(redirectTarget) ?? new Set();
    this.#redirected.set(redirectTarget, sources.add(request.url));
  }

  addMaterial(material: ProxyMaterial): void {
    if (this.#materials.has(material.url) || !this.#take(material.url)) return;
    this.#materials.set(material.url, material);
  }

  addIncomplete(request: { readonly method: string; readonly url: string }, reason: IncompleteReason): void {
    const { method, url } = request;
    if (this.#take(url)) this.#incomplete.push({ method, url, reason });
  }

  #take(text: string): boolean {
    const bytes = text.length + recordBytes;
    if (bytes > this.#room) this.#isFull = true;
    else this.#room -= bytes;
    return !this.#isFull;
  }

  report(): ProxyReport {
    const full = { method: "", url: "", reason: "too_many_requests" } as const;
    return {
      requests: this.#requests,
      materials: [...this.#withRedirected()],
      incomplete: this.#isFull ? [...this.#incomplete, full] : this.#incomplete,
    };
  }

  /** What was fetched is also what the URLs stand for that led to it. */
  *#withRedirected(): Iterable<ProxyMaterial> {
    const seen = new Set(this.#materials.keys());
    const pending = [...this.#materials.values()];
    for (const material of pending) {
      yield material;
      for (const url of this.#redirected.get(material.url) ?? []) {
        if (seen.has(url)) continue;
        seen.add(url);
        pending.push({ url, digest: material.digest });
      }
    }
  }
}
