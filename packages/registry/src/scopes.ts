/** One text for the same set of scopes: actions of one resource merged and sorted, resources sorted. */
export function mergeScopes(scopes: readonly string[]): string[] {
  const resources = new Map<string, Set<string>>();
  for (const scope of scopes.flatMap((text) => text.split(" "))) {
    const [type, name, ...actions] = splitScope(scope);
    if (type === undefined || type === "") continue;
    const resource = name === undefined ? type : `${type}:${name}`;
    const known = resources.get(resource) ?? new Set();
    for (const action of actions) known.add(action);
    resources.set(resource, known);
  }
  return [...resources]
    .map(([resource, actions]) => [resource, ...(actions.size === 0 ? [] : [sorted(actions).join(",")])].join(":"))
    .toSorted((a, b) => (a < b ? -1 : 1));
}

/** Type, name (which may hold a port) and actions. */
function splitScope(scope: string): string[] {
  const first = scope.indexOf(":");
  if (first < 0) return [scope];
  const last = scope.lastIndexOf(":");
  if (last === first) return [scope.slice(0, first), scope.slice(first + 1)];
  return [
    scope.slice(0, first),
    scope.slice(first + 1, last),
    ...scope
      .slice(last + 1)
      .split(",")
      .filter((action) => action !== ""),
  ];
}

function sorted(actions: ReadonlySet<string>): string[] {
  return [...actions].toSorted((a, b) => (a < b ? -1 : 1));
}

/** The scope of pulling from a repository, or of pushing to it. */
export function repositoryScope(repository: string, action: "pull" | "push"): string {
  return `repository:${repository}:${action === "push" ? "pull,push" : "pull"}`;
}
