// What the sections of the page have in common.

export const byId = (id) => document.getElementById(id);

export function showState(element, state, text = state) {
  element.dataset.state = state;
  element.textContent = text;
}

/** Calls back with the state of an EventSource whenever it changes. */
export function watchState(source, show) {
  // By readyState, not by the event: a published event may itself be of type "open" or "error".
  const states = ['reconnecting', 'open', 'closed'];
  const update = () => show(states[source.readyState]);
  show('connecting');
  source.addEventListener('open', update);
  source.addEventListener('error', update);
}

/**
 * Keeps an EventSource open while the page is seen. Over HTTP/1.1 a browser opens six connections to a host: a tab
 * nobody sees should hold none for its charts.
 *
 * @param open returns a new EventSource.
 */
export function whileVisible(open) {
  let source;
  const update = () => {
    source?.close();
    if (!document.hidden) {
      source = open();
    }
  };
  document.addEventListener('visibilitychange', update);
  update();
}
