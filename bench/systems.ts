/** What is compared, and how each is configured. */
import type { Container } from './container.ts';

export interface System {
  name: string;
  /** As on the command line: `--only nchan,qjs`. */
  key: string;
  isNjs: boolean;
  /** Whether it can use more than one worker. */
  hasWorkers: boolean;
  /** Whether its idle subscribers do nothing for up to three minutes. */
  waits: boolean;
  start(container: Container, setup: Setup): Promise<Running>;
}

export interface Setup {
  workers: number;
  cores: string;
  /** How many events a channel's log holds. */
  history: number;
  /** `$sse_lifetime`; its default if not set. */
  lifetime?: string;
  /** `$sse_retry`; its default if not set. */
  retry?: string;
  /** Whether channel "0" follows the load generator's own SSE server. */
  upstream?: boolean;
}

export interface Running {
  /** The processes whose memory and CPU are measured. */
  pids: number[];
  stop(): Promise<void>;
}

export const ERROR_LOG = '/tmp/error.log';
/** Where the load generator's own SSE server listens. */
export const SOURCE_PORT = 9100;
export const PID_FILE = '/tmp/server.pid';
const CONFIG = '/etc/nginx/bench.conf';

const nchan: System = {
  name: 'nchan',
  key: 'nchan',
  isNjs: false,
  hasWorkers: true,
  waits: false,
  start: (container, setup) => startNginx(container, setup, nchanConfig(setup)),
};

const betterSse: System = {
  name: 'better-sse',
  key: 'better-sse',
  isNjs: false,
  hasWorkers: false,
  waits: false,
  start: startNode,
};

export function allSystems(withDoorbell: boolean): System[] {
  const engines = ['qjs', 'njs'] as const;
  return [
    nchan,
    ...engines.map((engine) => njsSse(engine, false)),
    ...(withDoorbell ? engines.map((engine) => njsSse(engine, true)) : []),
    betterSse,
  ];
}

function njsSse(engine: 'qjs' | 'njs', doorbell: boolean): System {
  return {
    name: `njs-sse ${engine}${doorbell ? ' + doorbell' : ''}`,
    key: `${engine}${doorbell ? '+doorbell' : ''}`,
    isNjs: true,
    hasWorkers: true,
    waits: doorbell,
    start: (container, setup) => startNginx(container, setup, njsConfig(setup, engine, doorbell)),
  };
}

async function startNginx(container: Container, { cores }: Setup, config: string): Promise<Running> {
  container.write(CONFIG, config);
  await container.sh(`rm -f ${ERROR_LOG} ${PID_FILE}; taskset -c ${cores} nginx -c ${CONFIG}`);
  const master = Number(await container.sh(`cat ${PID_FILE}`));
  const children = await container.sh(`sleep 0.3; pgrep -P ${master}`);
  const pids = children.trim().split(/\s+/).map(Number);
  return { pids, stop: () => stop(container, [master, ...pids]) };
}

async function startNode(container: Container, { cores }: Setup): Promise<Running> {
  const node = `taskset -c ${cores} /bench/node /bench/better-sse.ts ${PID_FILE}`;
  await container.sh(`rm -f ${ERROR_LOG} ${PID_FILE}; nohup ${node} > ${ERROR_LOG} 2>&1 &
    for i in $(seq 100); do test -s ${PID_FILE} && exit 0; sleep 0.1; done; cat ${ERROR_LOG}; exit 1`);
  const pid = Number(await container.sh(`cat ${PID_FILE}`));
  return { pids: [pid], stop: () => stop(container, [pid]) };
}

/** Kills, because nothing is to be kept and a graceful end of 15,000 streams takes long. */
async function stop(container: Container, pids: number[]): Promise<void> {
  await container.sh(`for pid in ${pids.join(' ')}; do
      kill -KILL $pid 2>/dev/null
      for i in $(seq 200); do kill -0 $pid 2>/dev/null || break; sleep 0.05; done
    done`);
}

function njsConfig(setup: Setup, engine: 'qjs' | 'njs', doorbell: boolean): string {
  const modules = doorbell ? ['http_js', 'stream', 'stream_js'] : ['http_js'];
  return `${top(setup, modules)}
${doorbell ? 'include sse/doorbell.conf;' : ''}
http {
    ${http()}
    include sse/http.conf;
    js_engine ${engine};
    server {
        listen 127.0.0.1:8080 reuseport backlog=4096;
        location /publish/ {
            set $sse_history ${setup.history};
            include sse/publisher.conf;
        }
        location /events/ {
            ${setup.lifetime ? `set $sse_lifetime ${setup.lifetime};` : ''}
            ${setup.retry ? `set $sse_retry ${setup.retry};` : ''}
            include sse/subscriber.conf;
        }
        location /relay/ {
            js_import relay from relay.js;
            include sse/relay.conf;
            proxy_pass http://127.0.0.1:${SOURCE_PORT};
        }
        location /proxy/ {
            proxy_pass http://127.0.0.1:${SOURCE_PORT};
            proxy_buffering off;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
    ${setup.upstream ? upstreamServer(setup) : ''}
}
`;
}

function upstreamServer({ history }: Setup): string {
  return `server {
        include sse/inner.conf;
        server_name 0;
        location / {
            proxy_pass http://127.0.0.1:${SOURCE_PORT};
            set $sse_history ${history};
            include sse/upstream.conf;
        }
    }`;
}

function nchanConfig(setup: Setup): string {
  return `${top(setup, ['nchan'])}
http {
    ${http()}
    nchan_shared_memory_size 512m;
    server {
        listen 127.0.0.1:8080 reuseport backlog=4096;
        location ~ ^/publish/(.+)$ {
            nchan_publisher;
            nchan_channel_id $1;
            nchan_message_buffer_length ${setup.history};
            nchan_message_timeout 1h;
        }
        location ~ ^/events/(.+)$ {
            nchan_subscriber eventsource;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
            nchan_eventsource_ping_interval 45;
        }
    }
}
`;
}

function top({ workers }: Setup, modules: string[]): string {
  return `${modules.map((name) => `load_module modules/ngx_${name}_module.so;`).join('\n')}
user root;   # as the load generator, which reads the workers' memory from /proc
pid ${PID_FILE};
error_log ${ERROR_LOG} warn;
worker_processes ${workers};
${workers > 1 ? 'worker_cpu_affinity auto;' : ''}
worker_rlimit_nofile 20000;
events {
    worker_connections 19000;
    multi_accept on;
}`;
}

function http(): string {
  return `access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;`;
}
