// "This nginx, live": follows the channel "nginx".
import { byId, showState, watchState, whileVisible } from './page.js';
import { createPlots, SECONDS } from './plots.js';

const drawPlots = createPlots(byId('nginx-plots'));
let samples;
let previousRequests;

function follow() {
  samples = [];
  previousRequests = undefined;
  const source = new EventSource(`/events/nginx?history=${SECONDS}`);
  source.addEventListener('counts', (event) => addCounts(JSON.parse(event.data)));
  source.addEventListener('sse-gap', addBreak);
  watchState(source, (state) => showState(byId('nginx-state'), state));
  return source;
}

function addCounts({ connections, requests }) {
  const restarted = requests < previousRequests;
  const rate = previousRequests === undefined || restarted ? null : requests - previousRequests;
  previousRequests = requests;
  addSample({ connections, rate });
}

function addBreak() {
  previousRequests = undefined;
  // As wide as the charts need it.
  for (let i = 0; i < 2; i++) {
    addSample({ connections: null, rate: null });
  }
}

/** Samples come once a second. */
function addSample(sample) {
  samples = [...samples, sample].slice(-SECONDS);
  drawPlots(samples.map((sample, i) => ({ ...sample, ago: samples.length - 1 - i })));
}

whileVisible(follow);
