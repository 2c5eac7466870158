// "From a terminal": the form of "Publish" as commands for a shell.
import { byId } from './page.js';
import { field, form, publishHeaders, publishPath } from './publish.js';

function showCommands() {
  const headers = Object.entries(publishHeaders(String)).map(
    ([name, value]) => `-H ${quote(`${name}: ${value}`)}`,
  );
  const channel = encodeURIComponent(field('channel').trim());
  byId('listen-command').textContent = `curl -N ${quote(`${location.origin}/events/${channel}`)}`;
  byId('publish-command').textContent = [
    'curl',
    ...headers,
    '--data-raw',
    quote(field('data')),
    quote(location.origin + publishPath()),
  ].join(' ');
}

/** For a POSIX shell. */
function quote(text) {
  return /^[\w./:%-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function copy(button) {
  const command = byId(button.dataset.copy);
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(command.textContent);
    button.textContent = 'Copied';
  } else {
    // Browsers have a clipboard for https and localhost only.
    getSelection().selectAllChildren(command);
    button.textContent = 'Selected';
  }
  setTimeout(() => {
    button.textContent = 'Copy';
  }, 2000);
}

form.addEventListener('input', showCommands);
document.querySelectorAll('[data-copy]').forEach((button) => {
  button.addEventListener('click', () => copy(button));
});
showCommands();
