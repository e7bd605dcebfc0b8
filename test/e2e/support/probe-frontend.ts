import { existsSync, readdirSync, readFileSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Frontend, type FrontendClient, type FrontendResult, runFrontendImage } from "@buildkit-ts/frontend";
import { image, mkfile, scratch } from "@buildkit-ts/llb";

/** A frontend for tests: does what its option `probe` says, and tells in a file what came of it. */
const probe: Frontend = async (client, options) => {
  const { signal } = options;
  switch (client.options["probe"]) {
    case "surroundings":
      return await report(client, await surroundings(client), options);
    case "nested":
      return await client.solve(
        { frontend: "gateway.v0", options: { source: client.options["inner"] ?? "", probe: "surroundings" } },
        options,
      );
    case "escape":
      return await report(client, await escape(client, signal), options);
    case "entitlements":
      return await report(client, await entitlements(client, signal), options);
    case "failing-step":
      return await client.solve(
        {
          definition: image(client.options["base"] ?? "")
            .run({ args: ["sh", "-c", "exit 7"] })

            .marshal(),
          evaluate: true,
        },
        options,
      );
    case "error":
      throw new BuildError("failed_precondition", "the probe does not want to");
    case "exit":
      return process.exit(Number(client.options["code"]));
    case "exit-after-result":
      process.on("exit", () => (process.exitCode = 3));
      return await report(client, {}, options);
    case undefined:
    default:
      throw new BuildError("invalid_argument", "unknown probe");
  }
};

async function report(
  client: FrontendClient,
  value: unknown,
  options: { readonly signal: AbortSignal },
): Promise<FrontendResult> {
  const definition = scratch()
    .file(mkfile("/report.json", JSON.stringify(value), { mode: 0o644 }))
    .marshal();
  return await client.solve({ definition }, options);
}

async function surroundings(client: FrontendClient): Promise<object> {
  return {
    options: client.options,
    product: client.product,
    inputs: [...(await client.inputs()).keys()],
    workers: JSON.parse(process.env["BUILDKIT_WORKERS"] ?? "null") as unknown,
    metadataBytes: readFileSync("/run/config/buildkit/metadata/frontend.bin").length,
    interfaces: readdirSync("/sys/class/net"),
    cwd: process.cwd(),
    isIsolated: !existsSync("/proc/1/root/etc/shadow"),
  };
}

/** Tries to read and mount what is not in a tree. */
async function escape(client: FrontendClient, signal: AbortSignal): Promise<Record<string, string>> {
  const state = image(client.options["base"] ?? "").run({
    args: ["sh", "-c", "ln -s /etc /absolute; ln -s ../../../../../../etc /relative; mkdir /dir; ln -s / /dir/root"],
  });
  const { ref } = await client.solve({ definition: state.marshal() }, { signal });
  const paths = ["/../../../../../etc/hostname", "/absolute/hostname", "/relative/hostname", "/dir/root/etc/hostname"];
  const outcome: Record<string, string> = {};
  for (const path of paths) outcome[path] = await textOf(ref?.readFile(path, { signal }));
  const mount = { target: "/m", ...(ref !== undefined && { ref }), selector: "/relative" };
  await using container = await client.openContainer(
    { mounts: [{ target: "/", ...(ref && { ref }) }, mount] },
    { signal },
  );
  let names = "";
  await container.run({ args: ["ls", "/m"], onStdout: (data) => (names += Buffer.from(data).toString()) }, { signal });
  return { ...outcome, selected: names };
}

/** Tries to get what the build was not given. */
async function entitlements(client: FrontendClient, signal: AbortSignal): Promise<Record<string, string>> {
  const base = image(client.options["base"] ?? "");
  const { ref } = await client.solve({ definition: base.marshal() }, { signal });
  const insecure = base
    .security("insecure")
    .run({ args: ["true"] })

    .marshal();
  const host = base
    .network("host")
    .run({ args: ["true"] })

    .marshal();
  const inContainer = async (request: object, process: object): Promise<string> => {
    const mounts = [{ target: "/", ...(ref !== undefined && { ref }) }];
    await using container = await client.openContainer({ mounts, ...request }, { signal });
    return await textOf(
      container.run({ args: ["true"], ...process }, { signal }).then((code) => Buffer.from(`${code}`)),
    );
  };
  return {
    insecureStep: await textOf(client.solve({ definition: insecure }, { signal }).then(() => Buffer.from("allowed"))),
    hostStep: await textOf(client.solve({ definition: host }, { signal }).then(() => Buffer.from("allowed"))),
    insecureProcess: await inContainer({}, { security: "insecure" }),
    hostContainer: await inContainer({ network: "host" }, {}),
    plainProcess: await inContainer({}, {}),
  };
}

async function textOf(bytes: Promise<Uint8Array> | undefined): Promise<string> {
  try {
    return Buffer.from((await bytes) ?? []).toString("utf8");
  } catch (error) {
    return BuildError.from(error).message;
  }
}

await runFrontendImage(probe);
