import assert from "node:assert/strict";
import { test } from "node:test";
import { busyboxContext } from "./support/busybox-context.ts";
import { TestDaemon } from "./support/daemon.ts";
import { leftoversAfter } from "./support/leftovers.ts";
import { run, temporaryFolder } from "./support/processes.ts";

/** What the debugger is told, each when it has shown something. */
const dialogue = [
  ["/ #", "echo I am $(cat /made)\n"],
  ["I am made", "exit\n"],
  ["(buildx)", "exit\n"],
] as const;

test("docker buildx debug opens a shell in what a failed step left", async () => {
  using folder = temporaryFolder("debug-failed-step");
  await using daemon = await TestDaemon.start(folder.path);
  const context = await busyboxContext(
    folder.path,
    "FROM scratch\nCOPY busybox /bin/sh\nRUN echo made > /made && exit 7\n",
  );
  // Makes the builder.
  await daemon.buildx(["inspect"]);
  const debug = `docker-buildx debug --builder ts --invoke=/bin/sh --on=error build --progress plain ${context}`;
  let said = 0;
  // The debugger wants a terminal, which `script` gives it.
  const result = await run("script", ["-qefc", debug, "/dev/null"], {
    env: { ...daemon.buildxEnvironment, BUILDX_EXPERIMENTAL: "1" },
    keepInput: true,
    timeoutMs: 60_000,
    onOutput: (output, child) => {
      const [shown, answer] = dialogue[said] ?? [];
      if (shown === undefined || !output.includes(shown)) return;
      said += 1;
      child.stdin?.write(answer);
    },
  });
  assert.equal(said, dialogue.length, result.output);
  assert.match(result.output, /I am made/);
  assert.deepEqual(await leftoversAfter(daemon.root, { timeoutMs: 5000 }), []);
});
