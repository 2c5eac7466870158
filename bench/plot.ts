/** The plots, as SVG that shows on a light and on a dark page. */
import type { Measured } from './measure.ts';
import { fixed, loadsOf, median, type Report } from './report.ts';

const WIDTH = 1000;
const COLORS = ['#7f7f7f', '#1f77b4', '#2ca02c', '#17becf', '#bcbd22', '#d62728'];
const PANEL_WIDTH = WIDTH / 2;
const LABEL_WIDTH = 140;
const BAR = 18;
const TITLE = 40;

/** One panel a figure, one bar a system. */
export function barPlot(report: Report): string {
  const { title, date, systems, scenarios } = report;
  const panels = scenarios.flatMap((scenario) =>
    scenario.figures
      .filter(({ isPlotted }) => isPlotted)
      .map((figure) => ({
        title: scenario.name,
        subtitle: `${figure.name}, ${figure.unit}, ${figure.better} is better`,
        bars: systems.map(({ name }) => ({
          name,
          value: median(figure, loadsOf(report, scenario.name, name)),
        })),
      })),
  );
  const panelHeight = TITLE + systems.length * BAR + 20;
  const height = 40 + Math.ceil(panels.length / 2) * panelHeight;
  const drawn = panels.map((panel, index) => {
    const x = (index % 2) * PANEL_WIDTH + 10;
    const y = 40 + Math.floor(index / 2) * panelHeight;
    return `<g transform="translate(${x},${y})">${drawPanel(panel)}</g>`;
  });
  return svg(height, `${title}, ${date}`, drawn.join('\n'));
}

interface Panel {
  title: string;
  subtitle: string;
  bars: { name: string; value: number | undefined }[];
}

function drawPanel({ title, subtitle, bars }: Panel): string {
  const most = Math.max(...bars.map(({ value }) => value ?? 0), Number.MIN_VALUE);
  const room = PANEL_WIDTH - LABEL_WIDTH - 90;
  const drawn = bars.map(({ name, value }, index) => {
    const y = TITLE + index * BAR;
    const width = (Math.max(value ?? 0, 0) / most) * room;
    const color = COLORS[index % COLORS.length];
    return (
      text(LABEL_WIDTH - 6, y + 12, name, 'text-anchor="end"') +
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 4}" fill="${color}"/>` +
      text(LABEL_WIDTH + width + 5, y + 12, value === undefined ? '–' : fixed(value))
    );
  });
  return `${text(0, 14, title, 'font-weight="bold"')}${text(0, 30, subtitle)}${drawn.join('')}`;
}

/** The workers' memory over the time of a soak. */
export function memoryPlot({ title, date, measured }: Report): string {
  const height = 420;
  const box = { left: 70, top: 50, width: WIDTH - 260, height: 310 };
  const lines = measured.filter(({ load }) => load?.samples);
  const lastTime = Math.max(1, ...lines.flatMap(({ load }) => load!.samples!.map(({ time }) => time)));
  const most = Math.max(1, ...lines.flatMap(({ load }) => load!.samples!.map(({ rss }) => rss)));
  const x = (time: number) => box.left + (time / lastTime) * box.width;
  const y = (rss: number) => box.top + box.height - (rss / most) * box.height;
  const drawn = lines.map(({ system, load }, index) => {
    const color = COLORS[(index + 1) % COLORS.length];
    const points = load!.samples!.map(({ time, rss }) => `${x(time).toFixed(1)},${y(rss).toFixed(1)}`);
    return (
      `<polyline fill="none" stroke="${color}" stroke-width="2" points="${points.join(' ')}"/>` +
      `<rect x="${box.left + box.width + 15}" y="${box.top + index * 20}" width="12" height="12" fill="${color}"/>` +
      text(box.left + box.width + 33, box.top + 11 + index * 20, system)
    );
  });
  const axes = [0, 0.25, 0.5, 0.75, 1].map(
    (part) =>
      `<path d="M${box.left} ${y(part * most)}h${box.width}" stroke="#ddd"/>` +
      text(box.left - 6, y(part * most) + 4, `${fixed((part * most) / 1024)} MB`, 'text-anchor="end"') +
      text(
        x(part * lastTime),
        box.top + box.height + 18,
        `${fixed(part * lastTime)} s`,
        'text-anchor="middle"',
      ),
  );
  const caption = 'resident memory of the worker';
  return svg(height, `${title}, ${date}: ${caption}`, `${axes.join('')}${drawn.join('')}`);
}

export function hasSamples(measured: Measured[]): boolean {
  return measured.some(({ load }) => load?.samples);
}

function svg(height: number, title: string, body: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" role="img">
<title>${escapeXml(title)}</title>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${text(10, 22, title, 'font-size="16" font-weight="bold"')}
${body}
</svg>
`;
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escapeXml(content)}</text>`;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}
