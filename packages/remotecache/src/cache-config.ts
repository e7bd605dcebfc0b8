import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, isDigest } from "@buildkit-ts/oci";

/** Media type of the config of an exported cache. */
export const cacheConfigMediaType = "application/vnd.buildkit.cacheconfig.v0";

/** A blob of a cache. */
export interface CacheConfigLayer {
  readonly blob: Digest;
  /** Index of the layer below, -1 for none. */
  readonly parent: number;
  /** Only in inline caches and object stores, where no manifest describes the blob. */
  readonly annotations?: {
    readonly mediaType?: string;
    readonly diffID?: string;
    readonly size?: number;
    readonly createdAt?: string;
  };
}

export interface CacheConfigInput {
  /** Empty for none. */
  readonly selector: string;
  /** Index of a record. */
  readonly link: number;
}

export interface CacheConfigRecord {
  readonly digest: Digest;
  /** For each input of the step the records that lead to this one. */
  readonly inputs: readonly (readonly CacheConfigInput[])[];
  /** Results as the topmost layer, which brings all layers below it. Times are RFC 3339. */
  readonly layers: readonly { readonly layer: number; readonly createdAt: string }[];
  /** Results as a list of layers, bottom first, without their parents. */
  readonly chains: readonly { readonly layers: readonly number[]; readonly createdAt: string }[];
}

/** The keys and results of an exported cache: `cacheconfig.json`. */
export interface CacheConfig {
  readonly layers: readonly CacheConfigLayer[];
  readonly records: readonly CacheConfigRecord[];
}

/** Limits far beyond what real caches have. */
const maxBytes = 256 * 1024 * 1024;
const maxItems = 2_000_000;

/**
 * Reads a config that a registry or another store gave.
 *
 * @throws {BuildError} `invalid_argument`, if it refers to what it does not have, goes in circles or is no config at all.
 */
export function parseCacheConfig(bytes: Uint8Array | string): CacheConfig {
  if (bytes.length > maxBytes) throw invalid(`${bytes.length} bytes are more than ${maxBytes}`);
  let json: unknown;
  try {
    json = JSON.parse(typeof bytes === "string" ? bytes : new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new BuildError("invalid_argument", "Cannot parse cache config: not JSON", { cause });
  }
  const root = object(json, "config");
  const config: CacheConfig = {
    layers: list(root["layers"], "layers").map(parseLayer),
    records: list(root["records"], "records").map(parseRecord),
  };
  validate(config);
  return config;
}

function parseLayer(json: unknown): CacheConfigLayer {
  const layer = object(json, "layer");
  const annotations = layer["annotations"];
  return {
    blob: digest(layer["blob"]),
    parent: index(layer["parent"] ?? 0, -1),
    ...(annotations !== undefined && annotations !== null && { annotations: parseAnnotations(annotations) }),
  };
}

function parseAnnotations(json: unknown): NonNullable<CacheConfigLayer["annotations"]> {
  const { mediaType, diffID, size, createdAt } = object(json, "layer annotations");
  return {
    ...(typeof mediaType === "string" && { mediaType }),
    ...(typeof diffID === "string" && { diffID: digest(diffID) }),
    ...(typeof size === "number" && Number.isSafeInteger(size) && size >= 0 && { size }),
    ...(createdAt !== undefined && { createdAt: time(createdAt) }),
  };
}

function parseRecord(json: unknown): CacheConfigRecord {
  const record = object(json, "record");
  return {
    digest: digest(record["digest"]),
    inputs: list(record["inputs"], "inputs").map((input) =>
      list(input, "input").map((link) => {
        const { selector = "", link: to } = object(link, "link");
        if (typeof selector !== "string") throw invalid("a selector is no text");
        return { selector, link: index(to, 0) };
      }),
    ),
    layers: list(record["layers"], "results").map((result) => {
      const { layer, createdAt } = object(result, "result");
      return { layer: index(layer, 0), createdAt: time(createdAt) };
    }),
    chains: list(record["chains"], "chains").map((chain) => {
      const { layers, createdAt } = object(chain, "chain");
      return { layers: list(layers, "chain").map((layer) => index(layer, 0)), createdAt: time(createdAt) };
    }),
  };
}

function validate({ layers, records }: CacheConfig): void {
  for (const { parent } of layers) if (parent >= layers.length) throw invalid(`invalid layer index ${parent}`);
  checkAcyclic(layers.length, (i) => [layers[i]?.parent ?? -1].filter((parent) => parent >= 0), "layer");
  records.forEach((record, i) => {
    for (const links of record.inputs) {
      if (links.length === 0) throw invalid(`invalid empty input for record ${i}`);
      for (const { link } of links) if (link >= records.length) throw invalid(`invalid record ID: ${link}`);
    }
    const used = [...record.layers.map(({ layer }) => layer), ...record.chains.flatMap((chain) => chain.layers)];
    for (const layer of used) if (layer >= layers.length) throw invalid(`invalid layer index ${layer}`);
  });
  checkAcyclic(records.length, (i) => (records[i]?.inputs ?? []).flat().map(({ link }) => link), "record");
}

/** With a stack of its own: a hostile config may be deeper than the call stack. */
function checkAcyclic(count: number, next: (i: number) => readonly number[], noun: string): void {
  const state = new Uint8Array(count);
  for (let start = 0; start < count; start++) {
    if (state[start] !== 0) continue;
    state[start] = 1;
    const stack = [{ i: start, links: next(start), at: 0 }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const link = top.links[top.at];
      if (link === undefined) {
        state[top.i] = 2;
        stack.pop();
        continue;
      }
      top.at += 1;
      if (state[link] === 1) throw invalid(`invalid looping ${noun}`);
      if (state[link] === 2) continue;
      state[link] = 1;
      stack.push({ i: link, links: next(link), at: 0 });
    }
  }
}

/** The bytes of a config, with the fields in the order in which BuildKit writes them. */
export function encodeCacheConfig(config: CacheConfig): Uint8Array<ArrayBuffer> {
  const json = {
    ...(config.layers.length > 0 && { layers: config.layers.map(layerToJson) }),
    ...(config.records.length > 0 && { records: config.records.map(recordToJson) }),
  };
  return new TextEncoder().encode(JSON.stringify(json));
}

function layerToJson({ blob, parent, annotations }: CacheConfigLayer): unknown {
  const { mediaType, diffID, size, createdAt = "0001-01-01T00:00:00Z" } = annotations ?? {};
  return {
    blob,
    // Zero is the value that is left out.
    ...(parent !== 0 && { parent }),
    ...(annotations !== undefined && {
      annotations: {
        ...(mediaType !== undefined && mediaType !== "" && { mediaType }),
        ...(diffID !== undefined && diffID !== "" && { diffID }),
        ...(size !== undefined && size !== 0 && { size }),
        createdAt,
      },
    }),
  };
}

function recordToJson({ digest: name, inputs, layers, chains }: CacheConfigRecord): unknown {
  return {
    ...(layers.length > 0 && { layers: layers.map(({ layer, createdAt }) => ({ layer, createdAt })) }),
    ...(chains.length > 0 && { chains: chains.map((chain) => ({ layers: chain.layers, createdAt: chain.createdAt })) }),
    digest: name,
    ...(inputs.length > 0 && {
      inputs: inputs.map((links) =>
        links.map(({ selector, link }) => ({ ...(selector !== "" && { selector }), link })),
      ),
    }),
  };
}

function object(json: unknown, noun: string): Record<string, unknown> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw invalid(`${noun} is no object`);
  return json as Record<string, unknown>;
}

function list(json: unknown, noun: string): readonly unknown[] {
  if (json === undefined || json === null) return [];
  if (!Array.isArray(json)) throw invalid(`${noun} is no list`);
  if (json.length > maxItems) throw invalid(`${noun} has more than ${maxItems} items`);
  return json;
}

function index(json: unknown, least: number): number {
  if (typeof json !== "number" || !Number.isSafeInteger(json) || json < least) {
    throw invalid(`invalid index ${JSON.stringify(json)?.slice(0, 50)}`);
  }
  return json;
}

function digest(json: unknown): Digest {
  if (typeof json !== "string" || !isDigest(json))
    throw invalid(`invalid digest ${JSON.stringify(json)?.slice(0, 200)}`);
  return json;
}

function time(json: unknown): string {
  if (typeof json !== "string" || json.length > 64 || Number.isNaN(Date.parse(json))) {
    throw invalid(`invalid time ${JSON.stringify(json)?.slice(0, 50)}`);
  }
  return json;
}

function invalid(state: string): BuildError {
  return new BuildError("invalid_argument", `Cannot parse cache config: ${state}`);
}
