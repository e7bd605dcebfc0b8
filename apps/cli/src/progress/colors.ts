/** The escape sequences that set the colours of finished lines; empty for none. */
export interface ProgressColors {
  run: string;
  cancel: string;
  error: string;
  warning: string;
}

const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** Colours from `NO_COLOR` and `BUILDKIT_COLORS` (`run=blue:error=255,0,0:…`). What cannot be read is reported and ignored. */
export function progressColors(
  environment: Readonly<Record<string, string | undefined>>,
  warn: (message: string) => void,
): ProgressColors {
  const colors: ProgressColors = { run: "", cancel: "", error: "", warning: "" };
  if ((environment["NO_COLOR"] ?? "") !== "") return colors;
  colors.run = namedColor("blue") ?? "";
  colors.cancel = namedColor("yellow") ?? "";
  colors.warning = namedColor("yellow") ?? "";
  colors.error = namedColor("red") ?? "";
  const setting = environment["BUILDKIT_COLORS"] ?? "";
  for (const field of setting === "" ? [] : setting.split(":")) {
    const problem = applyColor(colors, field);
    if (problem !== undefined) warn(`Cannot use "${field}" of BUILDKIT_COLORS: ${problem}`);
  }
  return colors;
}

/** Sets one colour; gives what is wrong with the field, if anything. */
function applyColor(colors: ProgressColors, field: string): string | undefined {
  const [key = "", value, ...rest] = field.split("=");
  const color = value === undefined || rest.length > 0 ? undefined : (namedColor(value) ?? rgbColor(value));
  if (color === undefined) return "expected <key>=<name> or <key>=<red>,<green>,<blue>";
  const kind = key.toLowerCase();
  if (!Object.hasOwn(colors, kind)) return "expected the key run, cancel, error or warning";
  colors[kind as keyof ProgressColors] = color;
  return undefined;
}

function namedColor(text: string): string | undefined {
  const name = text.toLowerCase();
  if (name === "default") return "\u001b[39m";
  const light = name.startsWith("light-");
  const index = names.indexOf(light ? name.slice("light-".length) : name);
  return index < 0 ? undefined : `\u001b[${(light ? 90 : 30) + index}m`;
}

function rgbColor(text: string): string | undefined {
  const parts = text.split(",").map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  if (parts.length !== 3 || parts.some((part) => part > 255)) return undefined;
  return `\u001b[38;2;${parts.join(";")}m`;
}
