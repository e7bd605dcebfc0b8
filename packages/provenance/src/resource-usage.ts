/** What a step used over time, as BuildKit's documents have it. Members that the kernel does not tell are absent. */
export interface ResourceSamples {
  readonly samples?: readonly ResourceSample[];
  /** Seconds of CPU time of the whole machine while the step ran. */
  readonly sysCPUStat?: Readonly<Record<string, number>>;
}

/** One look at a step's control group. */
export interface ResourceSample {
  /** RFC 3339. */
  readonly timestamp: string;
  readonly cpuStat?: ResourceValues;
  readonly memoryStat?: ResourceValues;
  readonly ioStat?: ResourceValues;
  readonly pidsStat?: ResourceValues;
}

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

/** Numbers by name; `pressure` is the one member that holds more. */
export type ResourceValues = Readonly<Record<string, number | Pressure>>;

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
