// Installs what is missing on a fresh machine: OS packages, then npm packages with the project's own Node.
// Runs under any Node from 20 on, and does nothing where nothing is missing.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Programs by the Debian package that holds them. */
const runtimePackages = { runc: "runc", umoci: "umoci", busybox: "busybox-static" };
const testPackages = {
  ...runtimePackages,
  skopeo: "skopeo",
  "docker-registry": "docker-registry",
  git: "git",
  zstd: "zstd",
  xz: "xz-utils",
  bzip2: "bzip2",
};

function isOnPath(program) {
  return (process.env["PATH"] ?? "").split(":").concat("/usr/sbin", "/sbin").some((folder) => existsSync(join(folder, program)));
}

function installOsPackages(packages) {
  const missing = Object.entries(packages).filter(([program]) => !isOnPath(program)).map(([, name]) => name);
  if (missing.length === 0) return;
  if (!isOnPath("apt-get")) throw new Error(`Cannot install ${missing.join(", ")}: this machine has no apt-get. Install them by hand.`);
  const sudo = process.getuid?.() === 0 ? [] : ["sudo"];
  const run = (...args) => {
    const [command, ...rest] = [...sudo, ...args];
    execFileSync(command, rest, { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
  };
  console.error(`installing ${missing.join(", ")}`);
  run("apt-get", "update", "-q");
  run("apt-get", "install", "-qy", "--no-install-recommends", ...missing);
}

function installNpmPackages() {
  const node = join(root, "node_modules/node/bin/node");
  if (existsSync(node) && existsSync(join(root, "node_modules/.package-lock.json"))) return;
  console.error("installing npm packages");
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  // Some versions of npm do not run packages' install scripts: `node` then has not linked its binary yet.
  if (!existsSync(node)) execFileSync("npm", ["rebuild", "node", "--foreground-scripts"], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  if (!existsSync(node)) throw new Error(`Cannot find ${node} after npm ci: run "npm rebuild node" and try again.`);
}

export function setUp(kind) {
  installOsPackages(kind === "test" ? testPackages : runtimePackages);
  installNpmPackages();
  return root;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setUp(process.argv[2] ?? "runtime");
