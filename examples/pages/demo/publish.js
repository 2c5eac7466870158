// "Publish": posts an event to a publisher location.
import { byId } from './page.js';

const PATIENCE = 10000;
const MEANINGS = { 201: 'Published, and someone listens', 202: 'Published, nobody listens' };
export const form = byId('publish');
export const field = (name) => form.elements[name].value;

async function publish(event) {
  event.preventDefault();
  const button = form.querySelector('button');
  button.disabled = true;
  try {
    const answer = await fetch(publishPath(), {
      method: 'POST',
      headers: publishHeaders(utf8),
      body: field('data'),
      signal: AbortSignal.timeout(PATIENCE),
    });
    const meaning = MEANINGS[answer.status] ?? answer.statusText;
    showAnswer(answer.ok, `${answer.status} ${meaning}`, (await answer.text()).trim());
  } catch (error) {
    showAnswer(false, 'Not published', explain(error));
  } finally {
    button.disabled = false;
  }
}

export function publishPath() {
  return `/publish/${encodeURIComponent(field('channel').trim())}`;
}

export function publishHeaders(encode) {
  const headers = { 'X-EventSource-Event': encode(field('type')), 'X-EventSource-ID': encode(field('id')) };
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== ''));
}

/** fetch sends each character of a header as one byte. */
function utf8(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function explain(error) {
  return error.name === 'TimeoutError'
    ? 'No answer. Over HTTP/1.1 a browser opens six connections to a host, and each event stream takes one: close other tabs of this server.'
    : error.message;
}

function showAnswer(isGood, title, text) {
  const details = document.createElement('pre');
  details.textContent = text;
  byId('answer').className = isGood ? 'good' : '';
  byId('answer').replaceChildren(title, details);
}

function publishOnCtrlEnter(event) {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit();
  }
}

form.addEventListener('submit', publish);
form.addEventListener('keydown', publishOnCtrlEnter);
