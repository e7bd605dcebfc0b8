/** Overlay's own attributes describe a place in a stack of layers, not a file. */
export function isPortableXattr(name: string): boolean {
  return !name.startsWith("trusted.overlay.") && !name.startsWith("user.overlay.");
}
