import { BuildError } from "@buildkit-ts/errdefs";

/** What `chmod` makes of a mode; `isDirectory` matters to `X`. */
export type ModeChange = (mode: number, options: { readonly isDirectory: boolean }) => number;

interface Step {
  readonly who: number;
  readonly operator: string;
  readonly permissions: string;
}

const standardBits = 0o6777;
const sticky = 0o1000;
const whoBits: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o0007, a: standardBits };

/**
 * Reads a mode as chmod(1) does: octal, or symbolic such as `u=rwX,go-w`. The umask is taken as 0.
 *
 * @throws {BuildError} `invalid_argument`: `invalid syntax`.
 */
export function parseModeChange(text: string): ModeChange {
  if (/^[0-9]/.test(text)) {
    if (!/^0*[0-7]{1,4}$/.test(text)) throw new BuildError("invalid_argument", "invalid syntax");
    const octal = Number.parseInt(text, 8);
    return () => octal;
  }
  const steps = text.split(",").flatMap((clause) => parseClause(clause));
  return (mode, options) => {
    const original = mode;
    return steps.reduce((current, step) => applyStep(step, current, { original, ...options }), mode);
  };
}

function parseClause(clause: string): Step[] {
  const match = /^([ugoa]*)((?:[-+=][rwxXstugo]*)+)$/.exec(clause);
  if (match === null) throw new BuildError("invalid_argument", "invalid syntax");
  const [, classes = "", actions = ""] = match;
  const who = Array.from(classes).reduce((bits, name) => bits | (whoBits[name] ?? 0), 0);
  return [...actions.matchAll(/([-+=])([rwxXstugo]*)/g)].map(([, operator = "", permissions = ""]) => ({
    who,
    operator,
    permissions,
  }));
}

function applyStep(
  { who, operator, permissions }: Step,
  mode: number,
  context: { readonly original: number; readonly isDirectory: boolean },
): number {
  const affected = who === 0 ? standardBits : who;
  const onlyOthers = (affected & ~0o007) === 0;
  let bits = 0;
  for (const permission of permissions) {
    if (permission === "r") bits |= 0o444 & affected;
    else if (permission === "w") bits |= 0o222 & affected;
    else if (permission === "x") bits |= 0o111 & affected;
    else if (permission === "s") bits |= 0o6000 & affected;
    else if (permission === "t") bits |= onlyOthers ? 0 : sticky;
    else if (permission === "X") {
      const applies = operator === "-" || (context.original & 0o111) !== 0 || context.isDirectory;
      bits |= applies ? 0o111 & affected : 0;
    } else bits |= copiedBits(mode, permission) & affected;
  }
  if (operator === "-") return mode & ~bits;
  return operator === "+" ? mode | bits : (mode & ~affected) | bits;
}

/** The permissions that one class has, for all classes. */
function copiedBits(mode: number, from: string): number {
  const shift = from === "u" ? 6 : from === "g" ? 3 : 0;
  const bits = (mode >> shift) & 0o7;
  return (bits << 6) | (bits << 3) | bits;
}
