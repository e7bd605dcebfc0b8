// Builds the pages of a folder with a builder's program, and writes them back to another folder: a build script without a Dockerfile.
// node --conditions=source examples/build-script/build.ts ADDRESS IMAGE SOURCE DESTINATION
import { BuildkitClient } from "@buildkit-ts/client";
import { buildContext, type Frontend, inClient } from "@buildkit-ts/frontend";
import { image, merge } from "@buildkit-ts/llb";

const [address = "unix:///run/buildkit/buildkitd.sock", base = "busybox", source = ".", destination = "out"] =
  process.argv.slice(2);
const { signal } = new AbortController();

/** One step for each page, side by side; only those whose page has changed run again. */
const pages: Frontend = async (client) => {
  const context = await buildContext(client, { followPaths: ["pages"] });
  const { ref } = await client.solve({ definition: context.marshal() }, { signal });
  const entries = (await ref?.readDirectory("pages", { signal, pattern: "*.txt" })) ?? [];
  const rendered = entries.map(({ path }) => {
    const name = path.replace(/\.txt$/, "");
    const script = `(echo "<h1>${name}</h1>"; sed 's|.*|<p>&</p>|' /page) > /out/${name}.html`;
    const mounts = [
      { target: "/page", source: context, selector: `pages/${path}`, readonly: true },
      { target: "/out" },
    ];
    return image(base)
      .run(script, { mounts, customName: `render ${name}` })
      .mount("/out");
  });
  const all = merge(rendered.flatMap((state) => state ?? []));
  return await client.solve({ definition: all.marshal() }, { signal });
};

await using client = await BuildkitClient.connect(address, { signal });
await client.build(
  {
    directories: { context: source },
    exports: [{ type: "local", attributes: {}, target: { kind: "directory", path: destination, mirror: false } }],
    onStatus: ({ vertexes }) => {
      for (const { name, completed, cached } of vertexes) {
        if (completed !== undefined) process.stdout.write(`${cached ? "cached" : "done"} ${name}\n`);
      }
    },
  },
  { signal, run: inClient(pages) },
);
