// "An upstream, live": follows the channel "machine", whose events nginx has from another server.
import { byId, showState, watchState, whileVisible } from './page.js';
import { createPlots, SECONDS } from './plots.js';

/** The upstream sends an event a second. */
const SILENCE = 3000;
/** What comes in the first moments of a stream are events of the past. */
const REPLAY = 500;

const NOTES = {
  open: 'nginx follows the upstream: an event a second. Stop it, and start it again:',
  silent:
    'nginx keeps trying to reconnect, after random times of up to 15 seconds: once the upstream is started, ' +
    'give it about as long as it was away.',
  never: 'No upstream here? npm start starts one, and makes nginx follow it.',
};

const drawPlots = createPlots(byId('machine-plots'));
let source;
let openedAt;
let samples;
/** When the newest event came, or what came of the past was sent. */
let newest;

function follow() {
  openedAt = Infinity;
  samples = [];
  newest = undefined;
  source = new EventSource(`/events/machine?history=${SECONDS}`);
  source.addEventListener('load', (event) => receive(event, JSON.parse(event.data)));
  source.addEventListener('open', () => {
    openedAt = Date.now();
  });
  watchState(source, showConnection);
  return source;
}

function receive(event, { time, cpu, load, memory }) {
  const now = Date.now();
  const sent = Date.parse(time);
  newest = now - openedAt < REPLAY ? Math.min(sent, now) : now;
  samples = [...samples, { sent, cpu: cpu && Math.round(cpu), memory: percent(memory) }].slice(-SECONDS);
  byId('machine-load').textContent = load.map((average) => average.toFixed(2)).join(' · ');
  byId('machine-memory').textContent = `${gigabytes(memory.used)} of ${gigabytes(memory.total)} GB`;
  byId('machine-time').textContent = new Date(time).toLocaleTimeString();
  byId('machine-id').textContent = event.lastEventId;
  showUpstream();
}

function percent({ used, total }) {
  return Math.round((used / total) * 100);
}

function gigabytes(bytes) {
  return (bytes / 1e9).toFixed(1);
}

/** By when they were sent, so what comes late, after a reconnection, is where it belongs. */
function drawSamples(silence) {
  const now = samples.at(-1).sent + silence;
  drawPlots(samples.map((sample) => ({ ...sample, ago: (now - sample.sent) / 1000 })));
}

/** The page's own connection to nginx; what nginx's connection to the upstream does, only events tell. */
function showConnection(state) {
  if (state === 'open') {
    showUpstream();
  } else {
    showState(byId('machine-state'), state);
  }
}

function showUpstream() {
  const isKnown = newest !== undefined;
  const silence = Date.now() - (isKnown ? newest : openedAt);
  if (isKnown) {
    drawSamples(silence < SILENCE ? 0 : silence);
  }
  if (silence < SILENCE) {
    show('open', isKnown ? 'following' : 'waiting for an event', NOTES.open);
  } else if (isKnown) {
    show('silent', `no event for ${Math.floor(silence / 1000)} s`, NOTES.silent);
  } else {
    show('silent', 'no events', NOTES.never);
  }
}

function show(state, text, note) {
  showState(byId('machine-state'), state, text);
  // Screen readers tell the note whenever it is written.
  if (byId('machine-note').textContent !== note) {
    byId('machine-note').textContent = note;
  }
}

whileVisible(follow);
setInterval(() => source.readyState === EventSource.OPEN && showUpstream(), 1000);
