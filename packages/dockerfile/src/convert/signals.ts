const names = new Set(
  "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX".split(
    " ",
  ),
);

/** Whether STOPSIGNAL takes it: a number but 0, or a name of Linux with or without `SIG`. */
export function isKnownSignal(text: string): boolean {
  if (/^[-+]?\d+$/.test(text)) return Number(text) !== 0;
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realtime = /^RT(MIN\+|MAX-)(\d{1,2})$/.exec(name);
  if (realtime === null) return names.has(name);
  return Number(realtime[2]) >= 1 && Number(realtime[2]) <= (realtime[1] === "MIN+" ? 15 : 14);
}
