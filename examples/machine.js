// js_periodic: publishes the load of the machine, as /proc has it, to the channel "machine". nginx/machine.conf runs it.
// biome-ignore lint/style/useNodejsImportProtocol: njs knows it without the prefix
import fs from 'fs';

async function publish() {
  const load = { time: new Date().toISOString(), cpu: cpu(), load: averages(), memory: memory() };
  await ngx.fetch('http://127.0.0.1:8090/publish/machine', {
    method: 'POST',
    headers: { 'X-EventSource-Event': 'load' },
    body: JSON.stringify(load),
  });
}

/** How busy all processors were since the last call, in percent; null at the first one. */
function cpu() {
  // user, nice, system, idle, iowait, irq, softirq, steal: counted since the machine started
  const ticks = read('stat').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number);
  const total = ticks.reduce((sum, tick) => sum + tick, 0);
  const idle = ticks[3] + ticks[4];

  // Each tick of a js_periodic may find its script anew, so what it has to remember is in shared memory.
  const last = ngx.shared.cpu;
  const share = 1 - (idle - last.get('idle')) / (total - last.get('total'));
  const isFirst = !last.has('total');
  last.set('idle', idle);
  last.set('total', total);
  return isFirst || !Number.isFinite(share) ? null : Math.round(share * 1000) / 10;
}

/** Over 1, 5 and 15 minutes. */
function averages() {
  return read('loadavg').split(' ').slice(0, 3).map(Number);
}

/** In bytes. */
function memory() {
  const text = read('meminfo');
  const bytes = (name) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)[1]) * 1024;
  return { used: bytes('MemTotal') - bytes('MemAvailable'), total: bytes('MemTotal') };
}

function read(name) {
  return fs.readFileSync(`/proc/${name}`, 'utf8');
}

export default { publish };
