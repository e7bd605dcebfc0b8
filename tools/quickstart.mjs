// `npm run quickstart`: builds examples/hello without a daemon started by hand, and runs the image.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setUp } from "./setup.mjs";

const root = setUp("runtime");
const work = join(root, ".cache/quickstart");
const run = (command, args) => execFileSync(command, args, { cwd: root, stdio: "inherit" });

mkdirSync(join(work, "busybox"), { recursive: true });
copyFileSync(
  execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim(),
  join(work, "busybox/busybox"),
);

const image = join(work, "image");
rmSync(image, { recursive: true, force: true });
mkdirSync(image);
const build = [
  "build",
  "--frontend",
  "dockerfile.v0",
  "--local",
  "context=examples/hello",
  "--local",
  "dockerfile=examples/hello",
];
const base = ["--local", `busybox=${join(work, "busybox")}`, "--opt", "context:busybox=local:busybox"];
run("bin/buildctl", [...build, ...base, "--output", `type=oci,dest=${join(work, "hello.tar")},name=hello:latest`]);

run("tar", ["-xf", join(work, "hello.tar"), "-C", image]);
rmSync(join(work, "bundle"), { recursive: true, force: true });
run("umoci", ["unpack", "--image", `${image}:latest`, join(work, "bundle")]);
// There may be no terminal here, as in CI.
const config = join(work, "bundle/config.json");
const spec = JSON.parse(readFileSync(config, "utf8"));
writeFileSync(config, JSON.stringify({ ...spec, process: { ...spec.process, terminal: false } }));
console.log("\nThe image says:");
run("runc", ["run", "--bundle", join(work, "bundle"), `hello-${process.pid}`]);
