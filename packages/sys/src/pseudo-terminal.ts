import { closeSync, constants, openSync } from "node:fs";
import { NativeCall } from "./native-call.ts";

const { O_RDWR, O_NOCTTY } = constants;

// The request's type is `unsigned long`; the third argument is a pointer or an integer by the request.
const ioctlPointer = new NativeCall("ioctl", "int ioctl(int, unsigned long, void *)");
const ioctlInteger = new NativeCall("ioctl", "int ioctl(int, unsigned long, int)");
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const TIOCSWINSZ = 0x5414;

/** A terminal that is a pair of descriptors: what one writes, the other reads. Both are the caller's to close. */
export interface PseudoTerminal {
  /** Of whoever shows the terminal. Reading gives EIO once all other ends of the pair are closed. */
  readonly controllerFd: number;
  /** Of the process that runs in it. */
  readonly terminalFd: number;
}

/** Opens a pair in this mount namespace's devpts. Neither end becomes this process's controlling terminal. */
export function openPseudoTerminal(): PseudoTerminal {
  const controllerFd = openSync("/dev/ptmx", O_RDWR | O_NOCTTY);
  try {
    ioctlPointer.call("/dev/ptmx", controllerFd, TIOCSPTLCK, Int32Array.of(0));
    // By descriptor: the path /dev/pts/<n> may belong to another instance of devpts.
    const O_CLOEXEC = 0o2000000;
    const terminalFd = ioctlInteger.call("/dev/ptmx", controllerFd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return { controllerFd, terminalFd };
  } catch (error) {
    closeSync(controllerFd);
    throw error;
  }
}

/** Tells the terminal its size; its foreground processes get SIGWINCH. */
export function setTerminalSize(fd: number, size: { readonly rows: number; readonly columns: number }): void {
  ioctlPointer.call(undefined, fd, TIOCSWINSZ, Uint16Array.of(size.rows, size.columns, 0, 0));
}
