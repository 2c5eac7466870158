/**
 * npm run bench:holds: how long one client, or a thousand, can hold a worker. While clients come with an id that the log does not
 * have, replay all of it, or while it is deleted, another connection asks for an empty answer again and again, and its longest wait
 * is what counts.
 */

import { join } from 'node:path';
import { buildAll } from '../scripts/build.ts';
import { findEngine } from '../scripts/engine.ts';
import { root } from '../scripts/paths.ts';
import { main, runQuietly, say } from '../scripts/run.ts';
import { startContainer } from './container.ts';
import { buildBenchImage } from './image.ts';

const LOGS = [100000, 1000000];
const ENGINES = ['njs', 'qjs'];

await main(async () => {
  if (!process.argv.includes('--no-build')) {
    say('compiling src/ for njs');
    await buildAll();
  }
  const engine = await findEngine();
  const container = startContainer(engine, buildBenchImage(engine));
  try {
    const name = `njs-sse-bench-${process.pid}`;
    runQuietly(engine, ['cp', join(root, 'bench/holds-client.ts'), `${name}:/bench/holds-client.ts`]);
    await container.sh("sed -i 's/zone=sse_log:256m/zone=sse_log:1000m/' /etc/nginx/sse/zones.conf");
    console.log(
      '| log | engine | what | answers | median ms | p99 | longest | after the first second |\n| --- | --- | --- | --- | --- | --- | --- | --- |',
    );
    for (const events of LOGS) {
      for (const jsEngine of ENGINES) {
        container.write('/etc/nginx/holds.conf', configuration(jsEngine));
        await container.sh('rm -f /tmp/holds.pid; taskset -c 0 nginx -c /etc/nginx/holds.conf');
        const rows = await container.sh(`taskset -c 1 /bench/node /bench/holds-client.ts ${events}`, 300);
        for (const row of rows.trim().split('\n')) {
          console.log(`| ${events.toLocaleString('en')} | ${jsEngine} | ${row} |`);
        }
        await container.sh(
          'kill -TERM $(cat /tmp/holds.pid); while kill -0 $(cat /tmp/holds.pid) 2>/dev/null; do sleep 0.1; done',
        );
      }
    }
  } finally {
    container.remove();
  }
});

function configuration(engine: string): string {
  return `
load_module modules/ngx_http_js_module.so;
worker_processes 1;
pid /tmp/holds.pid;
error_log /tmp/holds.log warn;
events { worker_connections 8000; }
http {
    access_log off;
    client_body_temp_path /tmp/client_body;
    js_engine ${engine};
    include sse/http.conf;
    server {
        listen 8080 backlog=4096;
        client_max_body_size 8m;
        location = /health { return 204; }
        location /publish/ {
            set $sse_history 1000000;
            include sse/publisher.conf;
        }
        location /events/ { include sse/subscriber.conf; }
    }
}`;
}
