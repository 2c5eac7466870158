// "Channels": one EventSource for any number of channels, and a list of what it receives.
import { byId, showState, watchState } from './page.js';

const MOST_EVENTS = 200;
const list = byId('events');
let source;
let listenedTypes = [];
let lastEventId = '';
let reconnects = 0;

function connect() {
  source?.close();
  const path = `/events/${names(byId('channels').value).map(encodeURIComponent).join(',')}`;
  if (path !== byId('url').textContent) {
    showLastEventId('');
  }
  byId('url').textContent = path;
  showReconnects(0);

  byId('refusal').textContent = '';

  source = new EventSource(lastEventId ? `${path}?${new URLSearchParams({ lastEventId })}` : path);
  listenedTypes = [];
  listenForTypes();
  watchState(source, (state) => {
    showConnection(state);
    if (state === 'closed') {
      showRefusal(source.url);
    }
  });
}

function disconnect() {
  source.close();
  showConnection('closed');
}

function isConnected() {
  return source.readyState !== EventSource.CLOSED;
}

function names(text) {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
}

function listenForTypes() {
  for (const type of listenedTypes) {
    source.removeEventListener(type, receive);
  }
  listenedTypes = ['message', 'sse-gap', ...names(byId('types').value)];
  for (const type of listenedTypes) {
    source.addEventListener(type, receive);
  }
}

function showConnection(state) {
  if (state === 'open' && byId('state').dataset.state === 'reconnecting') {
    showReconnects(reconnects + 1);
  }
  showState(byId('state'), state);
  byId('toggle').textContent = isConnected() ? 'Disconnect' : 'Connect';
}

/** EventSource tells nobody why it was refused. */
async function showRefusal(url) {
  const answer = await fetch(url);
  if (answer.ok) {
    answer.body.cancel();
  } else {
    byId('refusal').textContent = `${answer.status} ${await answer.text()}`;
  }
}

function showReconnects(number) {
  reconnects = number;
  byId('reconnects').textContent = number;
}

function showLastEventId(id) {
  lastEventId = id;
  byId('last-event-id').textContent = id || '–';
}

function receive(event) {
  // Whoever lists "open" or "error" as a type gets EventSource's own events, too.
  if (event instanceof MessageEvent) {
    showLastEventId(event.lastEventId);
    list.prepend(eventItem(event));
    list.children[MOST_EVENTS]?.remove();
  }
}

function eventItem({ type, lastEventId, data }) {
  const item = byId('event-template').content.firstElementChild.cloneNode(true);
  item.classList.toggle('gap', type === 'sse-gap');
  item.querySelector('time').textContent = new Date().toLocaleTimeString();
  item.querySelector('.type').textContent = type === 'sse-gap' ? 'sse-gap: some events were missed' : type;
  item.querySelector('.id').textContent = lastEventId;
  item.querySelector('.data').textContent = data;
  return item;
}

byId('toggle').addEventListener('click', () => (isConnected() ? disconnect() : connect()));
byId('clear').addEventListener('click', () => list.replaceChildren());
byId('types').addEventListener('change', listenForTypes);
byId('channels').addEventListener('change', () => isConnected() && connect());
connect();
