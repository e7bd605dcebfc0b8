import { BuildError } from "@buildkit-ts/errdefs";
import type { ProgressWriter } from "@buildkit-ts/progress";
import { goMode, type SendEntry, type SessionCaller, type SessionManager, sendFiles } from "@buildkit-ts/session";
import { statementFiles } from "../attestation/statement-files.ts";
import type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "../exporter.ts";
import { openTree } from "./open-tree.ts";
import { entriesOf, mergeEntries } from "./tree-entries.ts";
import { parseTreeOptions, resultTrees, statementNaming, type TreeOptions } from "./tree-options.ts";

/** The output `local`: the result's files in a directory of the client. */
export class LocalExporter implements Exporter {
  readonly #sessions: SessionManager;

  constructor(options: { readonly sessions: SessionManager }) {
    this.#sessions = options.sessions;
  }

  resolve(attributes: Readonly<Record<string, string>>): ExporterInstance {
    return new LocalExporterInstance(parseTreeOptions(attributes), this.#sessions);
  }
}

/** A tree that is open, and how it is sent. */
interface SendTree {
  readonly id: string;
  readonly entries: Iterable<SendEntry>;
}

class LocalExporterInstance implements ExporterInstance {
  readonly name = "exporting to client directory";
  readonly compression: ExporterInstance["compression"] = { type: "gzip", ociMediaTypes: true };
  readonly #options: TreeOptions;
  readonly #sessions: SessionManager;

  constructor(options: TreeOptions, sessions: SessionManager) {
    this.#options = options;
    this.#sessions = sessions;
  }

  async export(input: ExportInput, context: ExportContext): Promise<ExportOutput> {
    const { signal } = context;
    const caller = await this.#sessions.get(context.session, { signal });
    const split = this.#options.platformSplit ?? input.refs.size > 0;
    await using opened = new AsyncDisposableStack();
    const trees: SendTree[] = [];
    for (const tree of resultTrees(input, this.#options)) {
      const { directory } = opened.use(await openTree(tree, context));
      const naming = statementNaming(input, this.#options, tree.id);
      const attestations = input.attestations.get(tree.id) ?? [];
      const statements = await statementFiles(attestations, { directory, naming }, context);
      trees.push({ id: tree.id, entries: entriesOf(directory, { tree, split, statements }) });
    }
    if (!split) refuseCollisions(trees);
    if (this.#options.mode === "delete") {
      await send(
        caller,
        { name: "copying files", entries: mergeEntries(trees.map(({ entries }) => entries)), isComplete: true },
        context,
      );
      return { response: {} };
    }
    const transfers = trees.map(async ({ id, entries }) => {
      const name = split ? `copying files ${id}` : "copying files";
      await send(caller, { name, entries, isComplete: false }, context);
    });
    // All of them end before the trees are unmounted.
    for (const outcome of await Promise.allSettled(transfers)) if (outcome.status === "rejected") throw outcome.reason;
    return { response: {} };
  }
}

async function send(
  caller: SessionCaller,
  transfer: { readonly name: string; readonly entries: Iterable<SendEntry>; readonly isComplete: boolean },
  context: ExportContext,
): Promise<void> {
  const { entries, isComplete } = transfer;
  const status = transferStatus(context.progress, transfer.name);
  await sendFiles(
    caller,
    { exporterId: context.exporterIndex, entries, isComplete, onProgress: (bytes) => status.update(bytes) },
    { signal: context.signal },
  );
  status.complete();
}

function transferStatus(progress: ProgressWriter, id: string): { update(bytes: number): void; complete(): void } {
  const started = Date.now();
  let current = 0;
  let lastReport = 0;
  progress.status({ id, started });
  return {
    update: (bytes) => {
      current = bytes;
      if (Date.now() - lastReport < 100) return;
      lastReport = Date.now();
      progress.status({ id, started, current });
    },
    complete: () => progress.status({ id, started, current, completed: Date.now() }),
  };
}

/** @throws {BuildError} `invalid_argument`, if two platforms have a file of the same path. */
function refuseCollisions(trees: readonly SendTree[]): void {
  if (trees.length < 2) return;
  const owners = new Map<string, string>();
  for (const { id, entries } of trees) {
    for (const { stat } of entries) {
      if (stat.mode >= goMode.directory) continue;
      const other = owners.get(stat.path);
      if (other !== undefined)
        throw new BuildError(
          "invalid_argument",
          `cannot overwrite ${stat.path} from ${other} with ${id} when split option is disabled`,
        );
      owners.set(stat.path, id);
    }
  }
}
