import { withStatus } from "@buildkit-ts/progress";
import { type SessionManager, sendBytes } from "@buildkit-ts/session";
import { encodeTar } from "@buildkit-ts/tar";
import { statementFiles } from "../attestation/statement-files.ts";
import type { ExportContext, Exporter, ExporterInstance, ExportInput, ExportOutput } from "../exporter.ts";
import { openTree } from "./open-tree.ts";
import { rechunk } from "./rechunk.ts";
import { type TarTree, tarEntries } from "./tar-entries.ts";
import { parseTreeOptions, platformDirectory, resultTrees, statementNaming, type TreeOptions } from "./tree-options.ts";

/** The output `tar`: the result's files as one archive, with a directory for each platform of a map. */
export class TarExporter implements Exporter {
  readonly #sessions: SessionManager;

  constructor(options: { readonly sessions: SessionManager }) {
    this.#sessions = options.sessions;
  }

  resolve(attributes: Readonly<Record<string, string>>): ExporterInstance {
    return new TarExporterInstance(parseTreeOptions(attributes), this.#sessions);
  }
}

class TarExporterInstance implements ExporterInstance {
  readonly name = "exporting to client tarball";
  readonly compression: ExporterInstance["compression"] = { type: "gzip", ociMediaTypes: true };
  readonly #options: TreeOptions;
  readonly #sessions: SessionManager;

  constructor(options: TreeOptions, sessions: SessionManager) {
    this.#options = options;
    this.#sessions = sessions;
  }

  async export(input: ExportInput, context: ExportContext): Promise<ExportOutput> {
    const { signal } = context;
    await using opened = new AsyncDisposableStack();
    const trees: TarTree[] = [];
    for (const tree of resultTrees(input, this.#options)) {
      const { directory } = opened.use(await openTree(tree, context));
      const prefix = input.refs.size > 0 ? platformDirectory(tree.id) : "";
      const naming = statementNaming(input, this.#options, tree.id);
      const attestations = input.attestations.get(tree.id) ?? [];
      const statements = await statementFiles(attestations, { directory, naming }, context);
      trees.push({ directory, prefix, epochSeconds: tree.epochSeconds, statements });
    }
    const sorted = trees.toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1));
    const caller = await this.#sessions.get(context.session, { signal });
    await withStatus(context.progress, "sending tarball", async () => {
      const content = rechunk(encodeTar(tarEntries(sorted, { signal }), { signal }));
      await sendBytes(caller, { exporterId: context.exporterIndex, content }, { signal });
    });
    return { response: {} };
  }
}
