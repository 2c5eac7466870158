/** Runs one measurement of one system: starts the server, loads it, stops it. */
import type { Container } from './container.ts';
import type { Scenario } from './scenarios.ts';
import { ERROR_LOG, type System } from './systems.ts';

/** In percent of one core. */
export interface Cpu {
  seconds: number;
  server: number;
  load: number;
  /** All other processes of the machine. */
  others: number;
}

/** In milliseconds. */
export interface Latency {
  count: number;
  p50: number;
  p99: number;
  p999: number;
  max: number;
}

export interface Sample {
  time: number;
  rss: number;
  received: number;
  resumes: number;
}

/** What bench/load.c prints; memory in KB. */
export interface LoadResult {
  subscribers: number;
  connected: number;
  connectSeconds: number;
  pssBefore: number;
  pssIdle: number;
  pssAfter: number;
  rssBefore: number;
  rssIdle: number;
  rssAfter: number;
  idle?: Cpu;
  run?: Cpu;
  published: number;
  publishErrors: number;
  publishesPerSecond: number;
  deliveriesPerSecond: number;
  expected: number;
  received: number;
  missing: number;
  duplicates: number;
  reordered: number;
  gaps: number;
  resumes: number;
  cuts: number;
  failures: number;
  refused: number;
  lastStatus: number;
  bytes: number;
  ingestPerSecond?: number;
  latency?: Latency;
  publishLatency?: Latency;
  samples?: Sample[];
}

export interface Measured {
  scenario: string;
  system: string;
  /** Undefined where the measurement failed. */
  load?: LoadResult;
  /** Lines of the error log that should not be there, each with its number of occurrences before it. */
  errors: string[];
}

/** Connecting, draining and what is between the phases, at the most. */
const OVERHEAD_SECONDS = 220;

export async function measure(container: Container, system: System, scenario: Scenario): Promise<Measured> {
  const cores = Number(await container.sh('nproc'));
  const measured: Measured = { scenario: scenario.name, system: system.name, errors: [] };
  const server = await system.start(container, {
    workers: scenario.workers,
    cores: serverCores(scenario.workers, cores),
    history: scenario.history ?? 100,
    ...(scenario.lifetime ? { lifetime: scenario.lifetime } : {}),
    upstream: scenario.upstream ?? false,
  });
  try {
    const idle = system.waits && scenario.idleOfWaiting ? { idle: scenario.idleOfWaiting } : {};
    const load = { ...scenario.load, ...idle };
    const options = loadOptions({ ...load, pids: server.pids.join(',') });
    const command = `taskset -c ${cores - 1} /bench/load ${options}`;
    const run = () => container.sh(command, OVERHEAD_SECONDS + duration(load));
    if (scenario.isWarm) {
      await run();
    }
    measured.load = JSON.parse(await run());
  } catch (error) {
    measured.errors.push(String(error));
  } finally {
    measured.errors.push(...(await unexpectedLines(container, system, scenario)));
    await server.stop();
  }
  return measured;
}

async function unexpectedLines(
  container: Container,
  system: System,
  { expectedErrors }: Scenario,
): Promise<string[]> {
  const filter = system.name === 'better-sse' ? 'cat' : "grep -E '\\[(error|alert|crit|emerg)\\]'";
  const lines = await container.sh(
    `${filter} ${ERROR_LOG} | sed -E 's/^.{19} //; s/[0-9]+#[0-9]+: (\\*[0-9]+ )?//' | sort | uniq -c | sort -rn | head -5`,
  );
  return lines
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !expectedErrors?.test(line));
}

/** The first cores are the server's, the last one is the load generator's. With too few cores they overlap. */
export function serverCores(workers: number, cores: number): string {
  return workers > 1 ? `0-${Math.min(workers, cores) - 1}` : '0';
}

export function loadOptions(options: Record<string, string | number>): string {
  return Object.entries(options)
    .map(([name, value]) => `--${name} ${value}`)
    .join(' ');
}

/** How long the phases of a scenario take together, in seconds, without connecting. */
export function duration(load: Scenario['load']): number {
  return ['settle', 'idle', 'warmup', 'seconds', 'drain']
    .map((phase) => Number(load[phase] ?? 0))
    .reduce((sum, seconds) => sum + seconds, 0);
}
