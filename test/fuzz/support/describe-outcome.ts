import { diagnose, dockerfileToLlb, IgnoreMatcher, lint, parseIgnoreFile } from "@buildkit-ts/dockerfile";
import { BuildError } from "@buildkit-ts/errdefs";
import { type DecodedOp, decodeDefinition } from "@buildkit-ts/llb";

const { signal } = new AbortController();

/**
 * What comes of a Dockerfile: `error <line>:<column>-<line>:<column> <text>` with what an editor offers to mend it, or the names of
 * its steps and the config of its image. Lines count from 1, columns too, and the end is exclusive.
 */
export async function describeDockerfile(data: Uint8Array): Promise<string> {
  const { error: located } = await lint(data);
  if (located !== undefined) {
    const found = await diagnose(Buffer.from(data).toString("utf8"));
    const error = found.find(({ severity }) => severity === "error");
    if (error === undefined || located.location.length === 0) return `error nowhere ${oneLine(located.message)}`;
    const { start, end } = error.range;
    const place = `${start.line}:${start.character + 1}-${end.line}:${end.character + 1}`;
    return [`error ${place} ${oneLine(error.message)}`, ...error.fixes.map(({ title }) => `fix ${title}`)].join("\n");
  }
  const { definition, image } = await dockerfileToLlb({ dockerfile: data, signal });
  const steps = definition.def.length === 0 ? [] : decodeDefinition(definition).ops.flatMap(describeOp);
  const { config } = JSON.parse(new TextDecoder().decode(image)) as { config: Readonly<Record<string, unknown>> };
  const members = Object.entries(config).filter(([key, value]) => !isDefault(key, value));
  return [...steps, ...members.map(([key, value]) => `${key} ${JSON.stringify(value)}`)].join("\n");
}

/** What every image from scratch has. */
function isDefault(key: string, value: unknown): boolean {
  const paths = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  return (
    (key === "WorkingDir" && value === "/") || (key === "Env" && JSON.stringify(value) === JSON.stringify([paths]))
  );
}

function describeOp({ name, op: { op } }: DecodedOp): string[] {
  const step = `step ${oneLine(name)}`;
  if (op.case === "exec") return [step, `  run ${JSON.stringify(op.value.meta?.args)}`];
  if (op.case !== "file") return [step];
  const files = op.value.actions.map(({ action }) => action);
  return [step, ...files.flatMap((file) => (file.case === "mkfile" ? [`  file ${fileText(file.value)}`] : []))];
}

function fileText({ path, data }: { readonly path: string; readonly data: Uint8Array }): string {
  return `${path} ${JSON.stringify(Buffer.from(data).toString("utf8"))}`;
}

/** What an ignore file says of the paths that its comments name: `# path <path>`. */
export function describeIgnoreFile(data: Uint8Array): string {
  const text = Buffer.from(data).toString("utf8");
  const paths = [...text.matchAll(/^# path (.*)$/gm)].map(([, path = ""]) => path);
  try {
    const matcher = new IgnoreMatcher(parseIgnoreFile(data));
    return paths.map((path) => `${matcher.excludes(path) ? "leaves out" : "keeps"} ${path}`).join("\n");
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return `error ${oneLine(error.message)}`;
  }
}

function oneLine(text: string): string {
  return JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
}
