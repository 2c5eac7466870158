// Line charts of the last minute.
import { byId } from './page.js';

export const SECONDS = 60;
/** The line breaks where samples are further apart, in seconds. */
const BREAK = 2.5;

/**
 * Fills each figure in an element, and returns a function that draws samples, the oldest first, in all of them. A sample
 * tells how many seconds `ago` it was; a figure's `data-field` names the number of it that the figure draws. Under the
 * pointer, all figures show the same second.
 */
export function createPlots(element) {
  const figures = [...element.querySelectorAll('.plot')];
  let samples = [];
  let secondsAgo = 0;

  function draw() {
    for (const figure of figures) {
      drawPlot(figure, samples, secondsAgo);
    }
  }

  function lookBack(event) {
    const area = event.target.closest('.area-of-plot')?.getBoundingClientRect();
    const ago = area ? Math.round(((area.right - event.clientX) / area.width) * (SECONDS - 1)) : 0;
    secondsAgo = Math.min(Math.max(ago, 0), Math.floor(samples[0]?.ago ?? 0));
    draw();
  }

  function lookAtNow() {
    secondsAgo = 0;
    draw();
  }

  figures.forEach(fill);
  element.addEventListener('pointermove', lookBack);
  element.addEventListener('pointerleave', lookAtNow);

  return (newSamples) => {
    samples = newSamples.filter(({ ago }) => ago <= SECONDS - 1);
    draw();
  };
}

function fill(figure) {
  const caption = figure.querySelector('figcaption');
  const label = `${caption.textContent.trim()} during the last minute`;
  caption.insertAdjacentHTML('beforeend', ' <span class="value">–</span>');
  figure.append(byId('plot-template').content.cloneNode(true));
  figure.querySelector('svg').setAttribute('aria-label', label);
}

function drawPlot(figure, samples, secondsAgo) {
  const { field, top: fixedTop, unit = '' } = figure.dataset;
  const part = (name) => figure.querySelector(`.${name}`);
  const known = samples.filter((sample) => sample[field] !== null);
  const top = Number(fixedTop) || roundUp(Math.max(...known.map((sample) => sample[field])));
  const point = (sample) => [SECONDS - 1 - sample.ago, 100 - (sample[field] / top) * 100];
  const lines = splitAtBreaks(known).map((line) => line.map(point));
  const shown = known.findLast(({ ago }) => Math.abs(ago - secondsAgo) < 1);

  part('line').setAttribute('d', lines.map(linePath).join(''));
  part('area').setAttribute('d', lines.map(areaPath).join(''));
  part('dot').setAttribute('d', shown ? `M${point(shown)}h0` : '');
  part('cursor').setAttribute('d', secondsAgo > 0 ? `M${SECONDS - 1 - secondsAgo} 0V100` : '');
  part('value').textContent = shown ? `${shown[field]}${unit}` : '–';
  part('top').textContent = top;
  part('middle').textContent = top / 2;
}

function splitAtBreaks(samples) {
  const lines = [];
  samples.forEach((sample, i) => {
    if (i > 0 && samples[i - 1].ago - sample.ago < BREAK) {
      lines.at(-1).push(sample);
    } else {
      lines.push([sample]);
    }
  });
  return lines;
}

function linePath(line) {
  return `M${line.join('L')}`;
}

function areaPath(line) {
  return `M${line[0][0]} 100L${line.join('L')}V100Z`;
}

/** The next number whose half is a good label, too. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 4)));
  return [1, 2, 4, 6, 8, 10].map((factor) => factor * power).find((top) => top >= Math.max(value, 4));
}
