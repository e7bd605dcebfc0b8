import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "./processes.ts";

const users =
  "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const groups = "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n";

/** Writes a root file system of busybox, and pushes it as a one-layer image made by other tools than ours. */
export async function pushBaseImage(folder: string, registryHost: string): Promise<string> {
  const image = join(folder, "base-image");
  const bundle = join(folder, "base-bundle");
  await runOk("umoci", ["init", "--layout", image]);
  await runOk("umoci", ["new", "--image", `${image}:latest`]);
  await runOk("umoci", ["unpack", "--image", `${image}:latest`, bundle]);
  await createRootFileSystem(join(bundle, "rootfs"));
  await runOk("umoci", ["repack", "--image", `${image}:latest`, bundle]);
  await runOk("umoci", [
    "config",
    "--image",
    `${image}:latest`,
    "--config.cmd",
    "sh",
    "--config.env",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "--architecture",
    process.arch === "x64" ? "amd64" : process.arch,
  ]);
  const name = `${registryHost}/library/busybox:latest`;
  await runOk("skopeo", [
    "--insecure-policy",
    "copy",
    "-q",
    "--dest-tls-verify=false",
    `oci:${image}:latest`,
    `docker://${name}`,
  ]);
  return name;
}

async function createRootFileSystem(root: string): Promise<void> {
  for (const name of [
    "bin",
    "sbin",
    "usr/bin",
    "usr/sbin",
    "etc",
    "root",
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "var/tmp",
  ]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  chmodSync(join(root, "tmp"), 0o1777);
  const busybox = (await runOk("sh", ["-c", "command -v busybox"])).trim();
  cpSync(busybox, join(root, "bin/busybox"), { dereference: true });
  const applets = await runOk(busybox, ["--list-full"]);
  for (const applet of applets.trim().split("\n")) {
    if (applet !== "bin/busybox") symlinkSync("/bin/busybox", join(root, applet));
  }
  writeFileSync(join(root, "etc/passwd"), users);
  writeFileSync(join(root, "etc/group"), groups);
}
