// Installs what is missing on a fresh machine: OS packages, then npm packages with the project's own Node.
// Runs under any Node from 20 on, and does nothing where nothing is missing.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Debian packages by a program of theirs: a name that PATH has, or a path. */
const runtimePackages = { runc: "runc", umoci: "umoci", busybox: "busybox-static" };
const testPackages = {
  ...runtimePackages,
  "fuse-overlayfs": "fuse-overlayfs",
  skopeo: "skopeo",
  dockerd: "docker.io",
  podman: "podman",
  "docker-registry": "docker-registry",
  git: "git",
  gpg: "gnupg",
  "ssh-keygen": "openssh-client",
  sshd: "openssh-server",
  openssl: "openssl",
  "/usr/lib/cni/bridge": "containernetworking-plugins",
  iptables: "iptables",
  ip: "iproute2",
  zstd: "zstd",
  xz: "xz-utils",
  bzip2: "bzip2",
  strace: "strace",
};

function isOnPath(program) {
  if (program.startsWith("/")) return existsSync(program);
  return (process.env["PATH"] ?? "")
    .split(":")
    .concat("/usr/sbin", "/sbin")
    .some((folder) => existsSync(join(folder, program)));
}

function installOsPackages(packages) {
  const missing = Object.entries(packages)
    .filter(([program]) => !isOnPath(program))
    .map(([, name]) => name);
  if (missing.length === 0) return;
  if (!isOnPath("apt-get"))
    throw new Error(`Cannot install ${missing.join(", ")}: this machine has no apt-get. Install them by hand.`);
  const sudo = process.getuid?.() === 0 ? [] : ["sudo"];
  const run = (...args) => {
    const [command, ...rest] = [...sudo, ...args];
    execFileSync(command, rest, {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
  };
  console.error(`installing ${missing.join(", ")}`);
  run("apt-get", "update", "-q");
  run("apt-get", "install", "-qy", "--no-install-recommends", ...missing);
}

function installNpmPackages() {
  const node = join(root, "node_modules/node/bin/node");
  if (existsSync(node) && existsSync(join(root, "node_modules/.package-lock.json"))) return;
  console.error("installing npm packages");
  // Not `npm ci`: it insists on optional packages of other platforms, which not every registry has.
  execFileSync("npm", ["install", "--no-save", "--no-audit", "--no-fund"], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  // Some versions of npm do not run packages' install scripts: `node` then has not linked its binary yet.
  if (!existsSync(node))
    execFileSync("npm", ["rebuild", "node", "--foreground-scripts"], {
      cwd: root,
      stdio: ["ignore", "ignore", "inherit"],
    });
  if (!existsSync(node))
    throw new Error(`Cannot find ${node} after npm install: run "npm rebuild node" and try again.`);
}

/** docker-buildx is not in Debian 12: its package is taken from the suite that has it, beside the machine's own packages. */
function installBuildx() {
  const tools = join(root, ".cache/tools");
  const binary = join(tools, "docker-buildx");
  if (isOnPath("docker-buildx") || existsSync(binary)) return;
  const archive = debianArchive();
  if (archive === undefined)
    throw new Error("Cannot install docker-buildx: no Debian archive among this machine's apt sources.");
  const apt = join(tools, "apt");
  for (const folder of ["state/lists/partial", "cache/archives/partial", "download"])
    mkdirSync(join(apt, folder), { recursive: true });
  writeFileSync(join(apt, "state/status"), "");
  writeFileSync(
    join(apt, "sources.list"),
    `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${archive} forky main\n`,
  );
  writeFileSync(
    join(apt, "apt.conf"),
    `Dir::State "${apt}/state";\nDir::State::status "${apt}/state/status";\nDir::Cache "${apt}/cache";\nDir::Etc::sourcelist "${apt}/sources.list";\n` +
      'Dir::Etc::sourceparts "/dev/null";\nDir::Etc::preferences "/dev/null";\nDir::Etc::preferencesparts "/dev/null";\nAPT::Sandbox::User "root";\n',
  );
  const options = {
    cwd: join(apt, "download"),
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, APT_CONFIG: join(apt, "apt.conf") },
  };
  console.error("installing docker-buildx");
  execFileSync("apt-get", ["update", "-q"], options);
  execFileSync("apt-get", ["download", "-q", "docker-buildx"], options);
  const [archiveFile] = readdirSync(join(apt, "download")).filter((name) => name.endsWith(".deb"));
  execFileSync("dpkg", ["-x", archiveFile, "unpacked"], options);
  copyFileSync(join(apt, "download/unpacked/usr/libexec/docker/cli-plugins/docker-buildx"), binary);
  chmodSync(binary, 0o755);
  rmSync(apt, { recursive: true });
}

/** Servers that object stores are tested with: by far too many packages to be dependencies of the project. */
const testServers = { azurite: "3.35.0", s3rver: "3.7.1" };

function installTestServers() {
  const folder = join(root, ".cache/tools/servers");
  const missing = Object.entries(testServers)
    .filter(([name]) => !existsSync(join(folder, "node_modules", name, "package.json")))
    .map(([name, version]) => `${name}@${version}`);
  if (missing.length === 0) return;
  console.error(`installing ${missing.join(", ")}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", ...missing], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function debianArchive() {
  const files = ["/etc/apt/sources.list", ...listFolder("/etc/apt/sources.list.d")].filter((file) => existsSync(file));
  const texts = files.map((file) => readFileSync(file, "utf8")).join("\n");
  return /(?:^URIs:|^deb(?:\s+\[[^\]]*\])?)\s+(\S+\/debian\/?)(?:\s|$)/m.exec(texts)?.[1];
}

function listFolder(folder) {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

export function setUp(kind) {
  installOsPackages(kind === "test" ? testPackages : runtimePackages);
  installNpmPackages();
  if (kind === "test") {
    installBuildx();
    installTestServers();
  }
  return root;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setUp(process.argv[2] ?? "runtime");
