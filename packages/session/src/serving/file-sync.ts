import { FileSync } from "@buildkit-ts/api/buildkit/filesync";
import { BuildError } from "@buildkit-ts/errdefs";
import type { FileStat } from "../fsutil/file-stat.ts";
import { sendTree } from "../fsutil/send-tree.ts";
import { walkTree } from "../fsutil/walk-tree.ts";
import { decodedValues } from "../wire/metadata.ts";
import type { Attachable } from "./client-session.ts";

/** Lets the daemon read directories, by the names it may ask for. Owners are sent as 0:0. */
export function shareDirectories(directories: Readonly<Record<string, string>>): Attachable {
  return (server) => {
    server.handleStream(FileSync.method.diffCopy, async (stream, { metadata, signal }) => {
      const name = decodedValues(metadata, "dir-name")[0] ?? "";
      const directory = Object.hasOwn(directories, name) ? directories[name] : undefined;
      if (directory === undefined)
        throw new BuildError("not_found", `no access allowed to dir ${JSON.stringify(name)}`);
      const followPaths = metadata["followpaths"] === undefined ? undefined : decodedValues(metadata, "followpaths");
      // Loaded on demand: it brings system calls by FFI, which builds without a context do without.
      const { readXattrs } = await import("../fsutil/read-xattrs.ts");
      const entries = walkTree(directory, {
        includePatterns: decodedValues(metadata, "include-patterns"),
        excludePatterns: decodedValues(metadata, "exclude-patterns"),
        map: withoutOwner,
        ...(followPaths !== undefined && { followPaths }),
        xattrs: readXattrs,
      });
      await sendTree(stream, entries, { signal });
    });
    // Dead on the wire: BuildKit's daemons never call it, and its clients, which announce it as we do, fail it.
    server.handleStream(FileSync.method.tarStream, () =>
      Promise.reject(new BuildError("unimplemented", "Cannot send files by TarStream: only DiffCopy is spoken")),
    );
  };
}

function withoutOwner(stat: FileStat): void {
  stat.uid = 0;
  stat.gid = 0;
}
