/**
 * Whether a path, without symbolic links and `..`, leads through an open file of a process.
 *
 * As a working directory it would be entered by the runtime, whose own open files may be directories of the machine.
 */
export function leadsThroughDescriptor(path: string): boolean {
  return /^\/(?:dev|proc\/[^/]+(?:\/task\/[^/]+)?)\/fd\/./.test(path);
}

/** Whether a path lies in a file system that every container is given, whatever the image has there. */
export function isMountedOver(path: string): boolean {
  return /^\/(?:proc|dev|sys)\//.test(path);
}
