/** What is measured, and which figures come out of it. */
import type { LoadResult, Sample } from './measure.ts';
import { SOURCE_PORT, type System } from './systems.ts';

export interface Scenario {
  name: string;
  workers: number;
  /** How many events a channel's log holds; 100 if not set. */
  history?: number;
  /** `$sse_lifetime` of njs-sse; its default if not set. */
  lifetime?: string;
  upstream?: boolean;
  /** The load comes twice, and the second time counts: in a server that has the memory which its streams need. */
  isWarm?: boolean;
  /** Options of bench/load.c. */
  load: Record<string, string | number>;
  /** How long to be idle where subscribers wait, if not as long as elsewhere: a whole round of what they do. */
  idleOfWaiting?: number;
  figures: Figure[];
  appliesTo?: (system: System) => boolean;
  /** The scenario of this name is the same without what is measured here. */
  without?: string;
  /** What the error log may say here. */
  expectedErrors?: RegExp;
}

export interface Figure {
  name: string;
  unit: string;
  better: 'more' | 'less';
  value: (result: LoadResult) => number | undefined;
  /** Whether the figure is in the plot. */
  isPlotted?: boolean;
}

/** What a resumed client may have missed, at the rates of saturation and soak. */
const LONG_HISTORY = 1000;
/** njs-sse looks less and less often for 6.4 s; what is idle is measured after that, for whole rounds of heartbeats. */
const SETTLE = 15;

const memory: Figure = {
  name: 'memory a subscriber (PSS)',
  unit: 'KB',
  better: 'less',
  value: (result) => (result.pssIdle - result.pssBefore) / result.subscribers,
  isPlotted: true,
};
const idleCpu: Figure = {
  name: 'CPU while nothing happens',
  unit: '% of a core',
  better: 'less',
  value: (result) => result.idle?.server,
  isPlotted: true,
};
const growth: Figure = {
  name: 'growth while nothing happens',
  unit: 'KB a minute',
  better: 'less',
  value: (result) =>
    result.idle && ((result.pssAfter - result.pssIdle) / result.subscribers / result.idle.seconds) * 60,
};
const p50: Figure = latency('p50', true);
const p99: Figure = latency('p99', true);
const p999: Figure = latency('p999', false);
const busyCpu: Figure = {
  name: 'CPU',
  unit: '% of a core',
  better: 'less',
  value: (result) => result.run?.server,
};
const deliveries: Figure = {
  name: 'deliveries',
  unit: '/s',
  better: 'more',
  value: (result) => result.deliveriesPerSecond,
  isPlotted: true,
};
/** Holds also where other processes take a part of the core. */
const efficiency: Figure = {
  name: 'deliveries a second of server CPU',
  unit: '',
  better: 'more',
  value: ({ deliveriesPerSecond, run }) => run && (100 * deliveriesPerSecond) / run.server,
};
const publishes: Figure = {
  name: 'publishes',
  unit: '/s',
  better: 'more',
  value: (result) => result.publishesPerSecond,
  isPlotted: true,
};
const ingested: Figure = {
  name: 'events read from the upstream',
  unit: '/s',
  better: 'more',
  value: (result) => result.ingestPerSecond,
};

const soakFigures: Figure[] = [
  { name: 'deliveries', unit: '', better: 'more', value: ({ received }) => received },
  { name: 'missing', unit: '', better: 'less', value: ({ missing }) => missing },
  { name: 'twice', unit: '', better: 'less', value: ({ duplicates }) => duplicates },
  {
    name: 'streams a subscriber',
    unit: '',
    better: 'more',
    value: (result) => 1 + result.resumes / result.subscribers,
  },
  { name: 'most memory (RSS)', unit: 'MB', better: 'less', value: ({ samples }) => mostMemory(samples) },
  {
    name: 'most memory in the second half',
    unit: 'MB',
    better: 'less',
    value: ({ samples }) => mostMemory(samples?.slice(samples.length / 2)),
  },
];

export function quickScenarios(): Scenario[] {
  return [
    idleAndLatency(1000, 1, { settle: 7, idle: 4, rate: 10, warmup: 1, seconds: 3 }),
    steady(100, 100, 1, 3),
    anyChannel(1000, 1, { settle: 1, warmup: 0.5, seconds: 3 }),
    saturation(1, 3),
    publishing(0, 1, 1.5),
    publishing(1, 1, 1.5),
    ingest(3),
    ...relays(10, 3),
  ];
}

export function fullScenarios(): Scenario[] {
  return [
    idleOnly(1000, 1, 1),
    idleOnly(5000, 1, 1),
    idleOnly(15000, 1, 1),
    idleOnly(5000, 5000, 1),
    ...[1, 10, 100].flatMap((rate) =>
      [1, 100, 1000, 5000].map((subscribers) => steady(subscribers, rate, 1, rate === 1 ? 20 : 10)),
    ),
    anyChannel(5000, 1, { settle: SETTLE, warmup: 2, seconds: 20 }),
    saturation(1, 10),
    publishing(0, 1, 5),
    publishing(1, 1, 5),
    ingest(10),
    ...relays(100, 10),
    idleOnly(5000, 1, 2),
    idleOnly(5000, 5000, 2),
    steady(5000, 1, 2, 20),
    steady(1000, 10, 2, 10),
    steady(5000, 10, 2, 10),
    anyChannel(5000, 2, { settle: SETTLE, warmup: 2, seconds: 20 }),
    saturation(2, 10),
    publishing(0, 2, 5),
  ];
}

/** 200 subscribers, 100 events/s: 20,000 deliveries a second, and four or five lifetimes a minute. */
export function soakScenario(minutes: number): Scenario {
  return {
    name: `soak: 200 subscribers, 100 events/s, ${minutes} min`,
    workers: 1,
    history: LONG_HISTORY,
    lifetime: '15s',
    load: { subscribers: 200, publishers: 1, rate: 100, seconds: minutes * 60, sample: 2, drain: 20 },
    figures: [...soakFigures, p50, p99, p999],
    appliesTo: ({ isNjs }) => isNjs,
  };
}

function idleAndLatency(
  subscribers: number,
  channels: number,
  phases: Record<string, number> & { rate: number },
): Scenario {
  return {
    name: `${thousands(subscribers)} subscribers, ${phases.rate} events/s`,
    workers: 1,
    load: { subscribers, channels, ...phases },
    figures: [memory, idleCpu, p50, p99, p999, busyCpu],
  };
}

function idleOnly(subscribers: number, channels: number, workers: number): Scenario {
  const on = channels > 1 ? ` on ${thousands(channels)} channels` : '';
  return {
    name: `${thousands(subscribers)} idle subscribers${on}${twoWorkers(workers)}`,
    workers,
    load: { subscribers, channels, settle: SETTLE, idle: 45, drain: 0.1 },
    idleOfWaiting: 180,
    figures: [memory, growth, idleCpu],
  };
}

function steady(subscribers: number, rate: number, workers: number, seconds: number): Scenario {
  return {
    name: `${thousands(subscribers)} subscriber${subscribers > 1 ? 's' : ''}, ${rate} event${rate > 1 ? 's' : ''}/s${twoWorkers(workers)}`,
    workers,
    isWarm: rate === 1,
    load: { subscribers, rate, settle: 1, warmup: 1, seconds },
    figures: [p50, p99, p999, busyCpu],
  };
}

/** Not 100: what nginx does once a second would meet one event in each second, or none, for as long as it lasts. */
const UNEVEN_RATE = 97;

function anyChannel(channels: number, workers: number, phases: Record<string, number>): Scenario {
  return {
    name: `any of ${thousands(channels)} idle channels, ${UNEVEN_RATE} events/s${twoWorkers(workers)}`,
    workers,
    load: { subscribers: channels, channels, rate: UNEVEN_RATE, ...phases },
    figures: [p50, p99, p999, busyCpu],
  };
}

function saturation(workers: number, seconds: number): Scenario {
  return {
    name: `saturation, 1,000 subscribers, 32 events in flight${twoWorkers(workers)}`,
    workers,
    history: LONG_HISTORY,
    load: { subscribers: 1000, window: 32, nap: 1000, settle: 1, warmup: 1, seconds },
    figures: [deliveries, efficiency, { ...p50, isPlotted: false }, { ...p99, isPlotted: false }, p999],
  };
}

function publishing(subscribers: number, workers: number, seconds: number): Scenario {
  return {
    name: `publishing over 16 connections, ${subscribers || 'no'} subscriber${twoWorkers(workers)}`,
    workers,
    load: { subscribers, flood: 1, publishers: 16, warmup: 0.5, seconds, drain: 0.2 },
    figures: [
      publishes,
      { name: 'answer p99', unit: 'ms', better: 'less', value: (result) => result.publishLatency?.p99 },
    ],
  };
}

function ingest(seconds: number): Scenario {
  return {
    name: 'upstream that sends as fast as it can',
    workers: 1,
    upstream: true,
    load: { ingest: 1, 'source-port': SOURCE_PORT, warmup: 1, seconds },
    figures: [ingested],
    // nginx asks before the load generator listens.
    expectedErrors: /Connection refused|status 502/,
    appliesTo: isPlainQjs,
  };
}

/** The same stream read directly, through nginx's proxy, and through a relay, to tell what each adds. */
function relays(subscribers: number, seconds: number): Scenario[] {
  const ways: [name: string, load: Record<string, string | number>][] = [
    ['without nginx', { port: SOURCE_PORT }],
    ['through proxy_pass', { 'events-path': '/proxy/' }],
    ['through the relay', { 'events-path': '/relay/' }],
  ];
  const title = (way: string) => `${subscribers} streams at 10 events/s ${way}`;
  return ways.map(([name, load]) => ({
    name: title(name),
    workers: 1,
    load: { subscribers, 'source-port': SOURCE_PORT, rate: 10, settle: 0.5, warmup: 0.5, seconds, ...load },
    figures: [
      { ...p50, isPlotted: false },
      { ...p99, isPlotted: false },
    ],
    appliesTo: isPlainQjs,
    ...(load.port ? {} : { without: title('without nginx') }),
  }));
}

/** What needs the QuickJS engine, and no doorbell, is measured once. */
function isPlainQjs({ key }: System): boolean {
  return key === 'qjs';
}

function latency(quantile: 'p50' | 'p99' | 'p999', isPlotted: boolean): Figure {
  return {
    name: `latency ${quantile === 'p999' ? 'p99.9' : quantile}`,
    unit: 'ms',
    better: 'less',
    value: (result) => result.latency?.[quantile],
    isPlotted,
  };
}

function mostMemory(samples: Sample[] | undefined): number | undefined {
  return samples && Math.max(...samples.map(({ rss }) => rss)) / 1024;
}

function twoWorkers(workers: number): string {
  return workers > 1 ? `, ${workers} workers` : '';
}

export function thousands(number: number): string {
  return number.toLocaleString('en-US');
}
