import { type Digest, digestOf } from "@buildkit-ts/oci";
import type { ContentListing, Explanation, MissedInput, MissedStep, Vertex } from "@buildkit-ts/solver";

/** A file of a listing: its text, and what else is not as usual. */
export interface TestFile {
  readonly text?: string;
  readonly mode?: number;
  readonly owner?: readonly [uid: number, gid: number];
  readonly link?: string;
}

interface Directory {
  [name: string]: TestFile | Directory;
}

const isFile = (value: TestFile | Directory): value is TestFile => "text" in value || "link" in value;

/** The listing of a tree that is given as nested objects: a directory is an object, a file has a `text` or a `link`. */
export function listingOf(tree: Directory): ContentListing {
  const directories = new Map<Digest, Uint8Array>();
  let files = 0;
  const encode = (directory: Directory): Digest => {
    const rows = Object.entries(directory)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => {
        if (!isFile(value)) return [name, "d", 0o755, 0, 0, 0, encode(value)];
        files += 1;
        const { text = "", mode = 0o644, owner: [uid, gid] = [0, 0], link } = value;
        const digest = digestOf(`${mode} ${uid} ${gid} ${link ?? ""} ${text}`);
        return link === undefined
          ? [name, "f", mode, uid, gid, text.length, digest]
          : [name, "l", 0o777, uid, gid, 0, digest, link];
      });
    const bytes = Buffer.from(JSON.stringify(rows));
    directories.set(digestOf(bytes), bytes);
    return digestOf(bytes);
  };
  return { root: encode(tree), files, directories };
}

export interface TestInput {
  readonly name?: string;
  readonly location?: string;
  readonly links?: readonly string[];
  readonly files?: ContentListing;
  readonly explanation?: Explanation;
  /** Paths whose bytes are as they were. */
  readonly sameBytes?: readonly string[];
}

export interface TestStep {
  readonly name?: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly inputs?: readonly TestInput[];
  readonly ignoreCache?: boolean;
  readonly isPersistent?: boolean;
  readonly loss?: string;
}

/** A step that is executed. Its digest follows from its fields. */
export function missedStep(step: TestStep = {}): MissedStep {
  const { name = "[1/1] RUN make", fields = {}, inputs = [] } = step;
  return {
    vertex: vertexOf(name, step.ignoreCache === true, undefined),
    digests: [digestOf(JSON.stringify(fields))],
    description: { kind: "exec", fields: new Map(Object.entries(fields)) },
    isPersistent: step.isPersistent ?? true,
    inputs: inputs.map(inputOf),
    loss: step.loss,
    values: () => [],
  };
}

function inputOf(input: TestInput): MissedInput {
  const { name = "[1/2] COPY . .", location, links = [], files, explanation, sameBytes = [] } = input;
  return {
    vertex: vertexOf(name, false, location),
    links: () => links,
    content: files?.root,
    list: files === undefined ? undefined : async () => await Promise.resolve(files),
    withSameBytes: async (asked) => await Promise.resolve(asked.map(({ path }) => sameBytes.includes(path))),
    explanation,
  };
}

function vertexOf(name: string, ignoreCache: boolean, location: string | undefined): Vertex {
  return {
    digest: digestOf(name),
    name,
    inputs: [],
    options: { ignoreCache, description: {}, cacheSources: [] },
    ...(location !== undefined && { location }),
    operation: undefined,
  };
}
