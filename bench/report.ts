/** The report in Markdown: figures beside each other, then what tells whether they can be believed. */
import type { LoadResult, Measured } from './measure.ts';
import { type Figure, type Scenario, thousands } from './scenarios.ts';
import type { System } from './systems.ts';

export interface Report {
  title: string;
  date: string;
  /** Names and versions of all that took part. */
  versions: [name: string, version: string][];
  systems: System[];
  scenarios: Scenario[];
  /** How often the systems took turns in each scenario. */
  rounds: number;
  /** One for each scenario, system and round. */
  measured: Measured[];
}

const REFERENCE = 'nchan';
const ARROWS = { more: '↑', less: '↓' };
/** Percent of a core, from which on the load generator may be what is measured. */
const LOAD_LIMIT = 90;

export function markdown(report: Report, plot: string): string {
  return [
    `# ${report.title}, ${report.date}`,
    table(['what', 'version'], report.versions),
    `![plot](${plot})`,
    '## Figures',
    `${hasReference(report.systems) ? `The first column is njs-sse divided by ${REFERENCE}. ` : ''}${report.rounds > 1 ? `Figures are the medians of ${report.rounds} rounds, in which the systems took turns. ` : ''}↓ less is better, ↑ more is better. † the load generator was near its limit. ‡ not everything arrived in time: the system was overloaded.`,
    figuresTable(report),
    '## Can they be believed?',
    'CPU is in percent of one core: of the server, of the load generator, and of everything else on the machine while it was measured. Deliveries count from the first to the last event.',
    checksTable(report),
    '## Error logs',
    errorsList(report.measured),
    '',
  ].join('\n\n');
}

function figuresTable(report: Report): string {
  const { systems, scenarios } = report;
  const addedRows = addedRowsOf(report);
  const rows = scenarios.flatMap((scenario) => [
    ...scenario.figures.map((figure) => {
      const reference = median(figure, loadsOf(report, scenario.name, REFERENCE));
      const ratios = systems
        .filter(({ isNjs }) => isNjs)
        .map(({ name, key }) => [key, median(figure, loadsOf(report, scenario.name, name))] as const)
        .filter(([, value]) => value !== undefined && reference !== undefined && reference > 0)
        .map(([key, value]) => `${key} ${ratio(value!, reference!)}`);
      return [
        `${scenario.name}: ${figure.name} ${ARROWS[figure.better]}`,
        ...(hasReference(systems) ? [ratios.join('<br>') || '–'] : []),
        ...systems.map((system) => cell(figure, loadsOf(report, scenario.name, system.name))),
      ];
    }),
    ...addedRows(scenario),
  ]);
  const heads = ['measurement', ...(hasReference(systems) ? [`njs-sse / ${REFERENCE}`] : [])];
  return table([...heads, ...systems.map(({ name }) => name)], rows);
}

function addedRowsOf(report: Report): (scenario: Scenario) => string[][] {
  const { systems } = report;
  return (scenario) =>
    scenario.without === undefined
      ? []
      : scenario.figures.map((figure) => [
          `${scenario.name}: what it adds to ${figure.name} ${ARROWS[figure.better]}`,
          ...(hasReference(systems) ? ['–'] : []),
          ...systems.map(({ name }) => {
            const value = median(figure, loadsOf(report, scenario.name, name));
            const without = median(figure, loadsOf(report, scenario.without!, name));
            return value === undefined || without === undefined
              ? '–'
              : `${fixed(value - without)} ${figure.unit}`;
          }),
        ]);
}

function hasReference(systems: System[]): boolean {
  return systems.some(({ name }) => name === REFERENCE);
}

function checksTable({ measured }: Report): string {
  const rows = measured.map(({ scenario, system, load }) => [scenario, system, ...checks(load)]);
  const heads = ['measurement', 'system', 'CPU server', 'load', 'others', 'connected', 'in s', 'published'];
  const counts = ['delivered', 'missing', 'twice', 'out of order', 'gaps', 'resumes', 'cut off', 'refused'];
  return table([...heads, ...counts], rows);
}

function checks(load: LoadResult | undefined): string[] {
  if (!load) {
    return ['failed'];
  }
  const cpu = load.run ?? load.idle;
  return [
    ...[cpu?.server, cpu?.load, cpu?.others].map((percent) => (percent === undefined ? '–' : fixed(percent))),
    `${thousands(load.connected)} of ${thousands(load.subscribers)}`,
    load.connectSeconds.toFixed(1),
    ...[load.published, load.received, load.missing, load.duplicates, load.reordered, load.gaps].map(
      thousands,
    ),
    ...[load.resumes, load.cuts, load.failures + load.publishErrors].map(thousands),
  ];
}

function errorsList(measured: Measured[]): string {
  const lines = measured.flatMap(({ scenario, system, errors }) =>
    errors.map((error) => `- ${system}, ${scenario}: \`${error.replaceAll('`', "'").trim()}\``),
  );
  return lines.length > 0 ? lines.join('\n') : 'None has an unexpected line.';
}

/** What was measured of a system in a scenario, in each round in which it succeeded. */
export function loadsOf({ measured }: Report, scenario: string, system: string): LoadResult[] {
  return measured
    .filter((one) => one.scenario === scenario && one.system === system)
    .flatMap(({ load }) => load ?? []);
}

function cell(figure: Figure, loads: LoadResult[]): string {
  const value = median(figure, loads);
  if (value === undefined) {
    return '–';
  }
  const isLoaded = loads.some(({ run }) => (run?.load ?? 0) > LOAD_LIMIT);
  const isLate = figure.name.startsWith('latency') && loads.some(({ missing }) => missing > 0);
  return `${fixed(value)} ${figure.unit}${isLoaded ? ' †' : ''}${isLate ? ' ‡' : ''}`;
}

/** Over all rounds; of an even number of them the mean of the two in the middle. */
export function median(figure: Figure, loads: LoadResult[]): number | undefined {
  const values = loads.flatMap((load) => figureOf(figure, load) ?? []).sort((a, b) => a - b);
  const middle = values.slice(Math.ceil(values.length / 2) - 1, Math.floor(values.length / 2) + 1);
  return values.length > 0 ? middle.reduce((sum, value) => sum + value, 0) / middle.length : undefined;
}

/** A figure of a result; undefined where the system does not have it. */
export function figureOf(figure: Figure, load: LoadResult | undefined): number | undefined {
  const value = load && figure.value(load);
  return value === undefined || !Number.isFinite(value) ? undefined : value;
}

export function ratio(value: number, reference: number): string {
  const times = value / reference;
  return times >= 10 ? times.toFixed(0) : times >= 1 ? times.toFixed(1) : times.toFixed(2);
}

export function fixed(value: number): string {
  if (Number.isInteger(value)) {
    return thousands(value);
  }
  return value >= 1000 ? thousands(Math.round(value)) : value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function table(heads: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}
