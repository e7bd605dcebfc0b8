/** One look at the whole machine. */
export interface SystemSample {
  /** RFC 3339. */
  readonly timestamp: string;
  readonly cpuStat?: ResourceValues;
  readonly procStat?: ResourceValues;
  readonly memoryStat?: ResourceValues;
  readonly cpuPressure?: Pressure;
  readonly memoryPressure?: Pressure;
  readonly ioPressure?: Pressure;
}

/** Numbers by name. */
export type ResourceValues = Readonly<Record<string, number>>;

/** Shares of time in which tasks were held up (`Documentation/accounting/psi.rst`). */
export interface Pressure {
  readonly some: PressureValues | null;
  readonly full: PressureValues | null;
}

export interface PressureValues {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly total: number;
}
