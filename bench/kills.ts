/** npm run bench:kills: how many killed workers it takes until one leaves a lock taken. */
import { parseArgs } from 'node:util';
import { buildAll } from '../scripts/build.ts';
import { findEngine } from '../scripts/engine.ts';
import { Missing, main, say } from '../scripts/run.ts';
import { type Container, hasDoorbell, startContainer } from './container.ts';
import { buildBenchImage } from './image.ts';
import { loadOptions } from './measure.ts';
import { allSystems, PID_FILE, type System } from './systems.ts';

const LOAD = { subscribers: 100, rate: 300, bytes: 1024 };
const WORKERS = 2;
/** Clients that were cut off are back before the next kill. */
const RETRY = '100ms';
/** Time for the load to recover from a kill, in seconds. */
const RECOVER = 0.5;
/** In this time, in seconds, a healthy worker sleeps dozens of times; one that waits for a lock, never. */
const LOOK = 0.2;
const MAKE_SURE = 2;

interface Tally {
  kills: number;
  hangs: number;
}

/** Kills one worker at a random moment: nothing here keeps time with what the workers do. */
const KILL_ONE = `
naps() { for pid in $(pgrep -P $(cat ${PID_FILE})); do
  echo $pid $(grep ^voluntary /proc/$pid/status); done | sort; }
kill -KILL $(pgrep -P $(cat ${PID_FILE}) | shuf -n 1)
sleep ${RECOVER}
naps >/tmp/1; sleep ${LOOK}; naps >/tmp/2
test "$(comm -12 /tmp/1 /tmp/2)" || exit 0
sleep ${MAKE_SURE}; naps >/tmp/3
test "$(comm -12 /tmp/1 /tmp/3)" && echo hangs; true`;

await main(async () => {
  const { values: options } = parseArgs({
    options: {
      kills: { type: 'string', default: '200' },
      minutes: { type: 'string', default: '5' },
      only: { type: 'string', default: 'njs,qjs' },
      'no-build': { type: 'boolean', default: false },
    },
  });
  const kills = numberOf('kills', options.kills, 100000);
  const minutes = numberOf('minutes', options.minutes, 240);
  if (!options['no-build']) {
    say('compiling src/ for njs');
    await buildAll();
  }
  const systems = systemsOf(options.only);
  const engine = await findEngine();
  const container = startContainer(engine, buildBenchImage(engine));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      container.remove();
      process.exit(1);
    });
  }
  try {
    for (const system of systems) {
      const tally = { kills: 0, hangs: 0 };
      const end = Date.now() + minutes * 60000;
      while (tally.kills < kills && Date.now() < end) {
        await killUntilItHangs(container, system, tally, kills, end);
      }
      show(system, tally);
    }
  } finally {
    container.remove();
  }
});

/** In one life of nginx. */
async function killUntilItHangs(
  container: Container,
  system: System,
  tally: Tally,
  kills: number,
  end: number,
): Promise<void> {
  const setup = { workers: WORKERS, cores: '0-1', history: 100, retry: RETRY };
  const server = await system.start(container, setup);
  const before = tally.kills;
  try {
    await container.sh(
      `nohup /bench/load ${loadOptions({ ...LOAD, seconds: 3600 })} >/dev/null 2>&1 & echo $! >/tmp/load.pid; sleep 4`,
    );
    while (tally.kills < kills && Date.now() < end) {
      const out = await container.sh(KILL_ONE);
      tally.kills++;
      if (out.includes('hangs')) {
        tally.hangs++;
        console.log(`  ${system.name}: it hangs after ${tally.kills - before} kills`);
        return;
      }
    }
  } finally {
    await container.sh(
      `kill -KILL $(cat /tmp/load.pid); kill -KILL $(cat ${PID_FILE}) $(pgrep -P $(cat ${PID_FILE})); sleep 0.2`,
    );
    await server.stop();
  }
}

function show({ name }: System, { kills, hangs }: Tally): void {
  const rate = hangs > 0 ? `one in ${Math.round(kills / hangs)}` : 'none';
  say(`${name}: ${hangs} of ${kills} killed workers left a lock taken, ${rate}`);
}

function systemsOf(only: string): System[] {
  const keys = only.split(',');
  const systems = allSystems(hasDoorbell()).filter(({ key, isNjs }) => isNjs && keys.includes(key));
  if (systems.length < keys.length) {
    throw new Missing('--only knows njs, qjs, njs+doorbell and qjs+doorbell');
  }
  return systems;
}

function numberOf(name: string, given: string, most: number): number {
  const number = Number(given);
  if (!(number >= 1 && number <= most)) {
    throw new Missing(`--${name} is a number from 1 to ${most}`);
  }
  return number;
}
