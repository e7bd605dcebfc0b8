type Attributes = Readonly<Record<string, string>>;

const cacheImports = "cache-imports";

/** Names of attributes whose values are credentials: `token`, `ghtoken`, `secret_access_key` and the like. */
const credential = /token|secret|password|key/i;

/**
 * A frontend's attributes as history keeps them: without the credentials of caches that are imported, which clients
 * tell frontends along with the rest. What cannot be read is left out.
 */
export function recordedAttributes(attributes: Attributes): Record<string, string> {
  const { [cacheImports]: imports, ...others } = attributes;
  const readable = imports === undefined ? undefined : withoutCredentials(imports);
  return { ...others, ...(readable !== undefined && { [cacheImports]: readable }) };
}

function withoutCredentials(json: string): string | undefined {
  let entries: unknown;
  try {
    entries = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!Array.isArray(entries)) return undefined;
  const kept = entries.map((entry: unknown) => {
    const { Type: type, Attrs: attributes } = (entry ?? {}) as { readonly Type?: unknown; readonly Attrs?: unknown };
    const shown = Object.entries((attributes ?? {}) as object).filter(([name]) => !credential.test(name));
    return { Type: type, Attrs: Object.fromEntries(shown) };
  });
  return JSON.stringify(kept);
}
