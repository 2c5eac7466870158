// js_periodic: publishes nginx's own counts, as stub_status has them, to the channel "nginx".
const HOST = 'http://127.0.0.1:8080';

async function publish() {
  const status = await ngx.fetch(`${HOST}/status`).then((reply) => reply.text());
  const numbers = status.match(/\d+/g).map(Number);
  await ngx.fetch(`${HOST}/publish/nginx`, {
    method: 'POST',
    headers: { 'X-EventSource-Event': 'counts' },
    body: JSON.stringify({ connections: numbers[0], requests: numbers[3] }),
  });
}

export default { publish };
