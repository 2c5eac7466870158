/** npm run bench: njs-sse beside nchan and better-sse, in one container. bench/README.md explains it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildAll } from '../scripts/build.ts';
import { findEngine } from '../scripts/engine.ts';
import { root } from '../scripts/paths.ts';
import { Missing, main, output, say } from '../scripts/run.ts';
import { type Container, hasDoorbell, startContainer } from './container.ts';
import { buildBenchImage } from './image.ts';
import { type Measured, measure } from './measure.ts';
import { barPlot, hasSamples, memoryPlot } from './plot.ts';
import { figureOf, fixed, markdown, type Report } from './report.ts';
import { fullScenarios, quickScenarios, type Scenario, soakScenario } from './scenarios.ts';
import { allSystems, type System } from './systems.ts';

/** What other processes may use, in percent of a core, before a measurement is repeated. */
const QUIET = 10;

await main(async () => {
  const { values: options } = parseArgs({
    options: {
      full: { type: 'boolean', default: false },
      soak: { type: 'boolean', default: false },
      minutes: { type: 'string', default: '3' },
      only: { type: 'string' },
      measure: { type: 'string' },
      retries: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      'no-build': { type: 'boolean', default: false },
    },
  });
  if (!options['no-build']) {
    say('compiling src/ for njs');
    await buildAll();
  }
  const mode = options.soak ? 'soak' : options.full ? 'full' : 'quick';
  const scenarios = scenariosOf(mode, Number(options.minutes), options.measure);
  const systems = systemsOf(options.only);
  const rounds = roundsOf(options.rounds);

  const engine = await findEngine();
  const container = startContainer(engine, buildBenchImage(engine));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      container.remove();
      process.exit(1);
    });
  }
  const started = Date.now();
  try {
    const report: Report = {
      title: `njs-sse benchmark, ${mode}`,
      date: new Date().toISOString().slice(0, 16).replace('T', ' '),
      versions: await versions(container),
      systems: systems.filter((system) => scenarios.some((scenario) => applies(scenario, system))),
      scenarios,
      rounds,
      measured: [],
    };
    for (const scenario of scenarios) {
      say(scenario.name);
      const turns = Array.from({ length: rounds }, () => systems.filter((one) => applies(scenario, one)));
      for (const system of turns.flat()) {
        const measured = await measureInQuiet(
          container,
          system,
          scenario,
          Number(options.retries ?? (options.full ? 2 : 0)),
        );
        report.measured.push(measured);
        show(scenario, measured);
      }
      // After each, so that a run that is cut short leaves what it has.
      save(report, mode);
    }
    say(`done in ${Math.round((Date.now() - started) / 1000)} s`);
  } finally {
    container.remove();
  }
});

/** Measures again where other processes were busy, and keeps the quietest. */
async function measureInQuiet(
  container: Container,
  system: System,
  scenario: Scenario,
  retries: number,
): Promise<Measured> {
  let best = await measure(container, system, scenario);
  for (let i = 0; i < retries && othersCpu(best) > QUIET; i++) {
    say(`other processes took ${fixed(othersCpu(best))} % of a core from ${system.name}: measuring again`);
    const again = await measure(container, system, scenario);
    best = othersCpu(again) < othersCpu(best) ? again : best;
  }
  return best;
}

function othersCpu({ load }: Measured): number {
  return Math.max(load?.run?.others ?? 0, load?.idle?.others ?? 0);
}

function scenariosOf(
  mode: 'soak' | 'full' | 'quick',
  minutes: number,
  wanted: string | undefined,
): Scenario[] {
  if (!(minutes > 0 && minutes <= 60)) {
    throw new Missing('--minutes is a number up to 60');
  }
  const all = { soak: () => [soakScenario(minutes)], full: fullScenarios, quick: quickScenarios }[mode]();
  const scenarios = all.filter(({ name }) => !wanted || name.includes(wanted));
  if (scenarios.length === 0) {
    throw new Missing(
      `no measurement has "${wanted}" in its name:\n${all.map(({ name }) => name).join('\n')}`,
    );
  }
  return scenarios;
}

function roundsOf(wanted: string): number {
  const rounds = Number(wanted);
  if (!(rounds >= 1 && rounds <= 100 && rounds % 1 === 0)) {
    throw new Missing('--rounds is a number from 1 to 100');
  }
  return rounds;
}

function systemsOf(only: string | undefined): System[] {
  const all = allSystems(hasDoorbell());
  const keys = only?.split(',');
  const unknown = keys?.find((wanted) => !all.some(({ key }) => key === wanted));
  if (unknown !== undefined) {
    throw new Missing(`--only knows ${all.map(({ key }) => key).join(', ')}, not "${unknown}"`);
  }
  return all.filter(({ key }) => !keys || keys.includes(key));
}

function applies({ workers, appliesTo }: Scenario, system: System): boolean {
  return (workers === 1 || system.hasWorkers) && (!appliesTo || appliesTo(system));
}

function show({ figures }: Scenario, { system, load, errors }: Measured): void {
  const values = figures.map((figure) => {
    const value = figureOf(figure, load);
    return value === undefined ? '' : `${figure.name} ${fixed(value)} ${figure.unit}`;
  });
  const cpu = load?.run ?? load?.idle;
  const loaded = cpu
    ? `; CPU: server ${fixed(cpu.server)} %, load generator ${fixed(cpu.load)} %, others ${fixed(cpu.others)} %`
    : '';
  const lost =
    load && (load.missing || load.duplicates) ? `; missing ${load.missing}, twice ${load.duplicates}` : '';
  console.log(`  ${system.padEnd(22)} ${values.filter(Boolean).join(', ')}${loaded}${lost}`);
  for (const error of errors) {
    console.log(`    ${error}`);
  }
}

function save(report: Report, mode: string): void {
  const folder = join(root, 'bench/results');
  const name = `${report.date.replace(' ', '-').replace(':', '')}-${mode}`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, `${name}.svg`),
    hasSamples(report.measured) ? memoryPlot(report) : barPlot(report),
  );
  writeFileSync(join(folder, `${name}.md`), markdown(report, `${name}.svg`));
  writeFileSync(
    join(folder, `${name}.jsonl`),
    report.measured
      .map(
        (measured) => `${JSON.stringify(measured)}
`,
      )
      .join(''),
  );
}

async function versions(container: Container): Promise<[name: string, version: string][]> {
  const sh = async (command: string) => (await container.sh(command)).trim();
  const version = (name: string) => sh(`dpkg-query -W -f '\${Version}' ${name}`);
  const betterSse = JSON.parse(readFileSync(join(root, 'node_modules/better-sse/package.json'), 'utf8'));
  const changed = output('git', '-C', root, 'status', '--porcelain', 'src', 'nginx').trim() !== '';
  return [
    [
      'njs-sse',
      `${output('git', '-C', root, 'rev-parse', '--short', 'HEAD').trim()}${changed ? ' with changes' : ''}`,
    ],
    ['nginx', await sh("nginx -v 2>&1 | sed 's/.*nginx.//'")],
    ['njs', await version('libnginx-mod-http-js')],
    ['nchan', await version('libnginx-mod-nchan')],
    ['Node.js', await sh('/bench/node --version')],
    ['better-sse', betterSse.version],
    ['Linux', await sh('uname -r')],
    [
      'CPU',
      `${await sh("sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1")}, ${await sh('nproc')} cores`,
    ],
    ['load of the machine at the start', await sh('cut -d" " -f1-3 /proc/loadavg')],
  ];
}
