import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { formatPlatform, hostPlatform, type Platform } from "@buildkit-ts/oci";

const prefix = "org.mobyproject.buildkit.worker.";

/** The worker's id, the same at each start: kept in `<root>/workerid`. */
export async function ensureWorkerId(root: string): Promise<string> {
  const path = join(root, "workerid");
  const known = await readFile(path, "utf8").catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  });
  if (/^[a-z0-9]{25}$/.test(known)) return known;
  const id = randomId();
  // Replaced as a whole: half an id would orphan every cache record.
  await writeFile(`${path}.tmp`, id, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
  return id;
}

/** 25 letters and digits, as BuildKit's ids are. */
function randomId(): string {
  return BigInt(`0x${randomBytes(17).toString("hex")}`)
    .toString(36)
    .padStart(27, "0")
    .slice(-25);
}

/** What clients select workers by. The user's own labels win. */
export function workerLabels(options: {
  readonly snapshotter: string;
  readonly network: string;
  readonly processMode: "sandbox" | "no-sandbox";
  readonly labels: Readonly<Record<string, string>>;
}): Record<string, string> {
  return {
    [`${prefix}executor`]: "oci",
    [`${prefix}snapshotter`]: options.snapshotter,
    [`${prefix}hostname`]: hostname(),
    [`${prefix}network`]: options.network,
    [`${prefix}oci.process-mode`]: options.processMode,
    [`${prefix}selinux.enabled`]: "false",
    ...options.labels,
  };
}

/** By the names under which QEMU's interpreters are registered. */
const emulated: Readonly<Record<string, string>> = {
  aarch64: "linux/arm64",
  riscv64: "linux/riscv64",
  ppc64: "linux/ppc64",
  ppc64le: "linux/ppc64le",
  s390x: "linux/s390x",
  i386: "linux/386",
  mips64el: "linux/mips64le",
  mips64: "linux/mips64",
  loongarch64: "linux/loong64",
  arm: "linux/arm/v7",
  x86_64: "linux/amd64",
};

/** Platforms whose programs run here: the machine's own, what its processor adds, and what binfmt_misc emulates. */
export function detectPlatforms(options: { readonly binfmtDirectory?: string } = {}): Platform[] {
  const own = hostPlatform();
  const found: Platform[] = [own, ...variantsOf(own)];
  for (const text of emulatedPlatforms(options.binfmtDirectory ?? "/proc/sys/fs/binfmt_misc")) {
    const [os = "linux", architecture = "", variant] = text.split("/");
    found.push({ os, architecture, ...(variant !== undefined && { variant }) });
    if (architecture === "arm") found.push({ os, architecture, variant: "v6" });
  }
  return [...new Map(found.map((platform) => [formatPlatform(platform), platform])).values()];
}

function variantsOf({ os, architecture }: Platform): Platform[] {
  if (architecture === "amd64") {
    const level = hostAmd64Level();
    return [
      ...Array.from({ length: level - 1 }, (_, i) => ({ os, architecture, variant: `v${i + 2}` })),
      ...(existsSync("/proc/sys/abi/vsyscall32") ? [{ os, architecture: "386" }] : []),
    ];
  }
  return [];
}

let knownHostLevel: number | undefined;

/** Read once: the kernel takes its time to write `/proc/cpuinfo`, and the processor stays. */
function hostAmd64Level(): number {
  return (knownHostLevel ??= amd64Level(readFileSync("/proc/cpuinfo", "utf8")));
}

const levels: readonly string[] = [
  "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3",
  "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave",
  "avx512f avx512bw avx512cd avx512dq avx512vl",
];

/** The x86-64 psABI level, 1 to 4, of a `/proc/cpuinfo` text. */
export function amd64Level(cpuinfo: string): number {
  const flags = new Set((/^flags\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? "").split(" "));
  const missing = levels.findIndex((needed) => !needed.split(" ").every((flag) => flags.has(flag)));
  return (missing < 0 ? levels.length : missing) + 1;
}

function emulatedPlatforms(directory: string): string[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    // Not mounted, or not ours to read: nothing is emulated, as far as we can know.
    return [];
  }
  return names.flatMap((name) => {
    const platform = emulated[name.replace(/^qemu-/, "")];
    if (platform === undefined || !name.startsWith("qemu-")) return [];
    return readFileSync(join(directory, name), "utf8").startsWith("enabled") ? [platform] : [];
  });
}
