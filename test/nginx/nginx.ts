/** A real nginx in a container of the image under test, with a configuration of the test's own. */
import { readFileSync } from 'node:fs';
import { GenericContainer, type StartedNetwork, type StartedTestContainer, Wait } from 'testcontainers';

const PORT = 8080;

/** What runs the scripts. The last one stands for the oldest nginx that the README promises. */
export type JsEngine = 'qjs' | 'njs' | 'njs 0.8.9';
/** Those of the current nginx. */
export const engines = ['qjs', 'njs'] as const;
/** For what works without QuickJS, and so without the doorbell. */
export const allEngines: readonly JsEngine[] = [...engines, 'njs 0.8.9'];

export interface Options {
  /** The engine of all scripts; the directive's default is njs. */
  engine?: JsEngine;
  /** Whether to include sse/doorbell.conf. */
  doorbell?: boolean;
  /** Lines beside the http block. */
  main?: string;
  /** Lines for the http block, after `include sse/http.conf;`. */
  http?: string;
  /** Locations, and other lines for the server block. */
  server?: string;
  workers?: number;
  /** Files to add: path in the container, and content. */
  files?: Record<string, string>;
  /** Where other containers reach it as `nginx`. */
  network?: StartedNetwork;
}

export interface Nginx {
  /** `http://host:port` of the server. */
  url: string;
  host: string;
  port: number;
  /** The error log so far. */
  log(): Promise<string>;
  /** Runs a shell command in the container and returns what it prints. */
  sh(command: string): Promise<string>;
  /** Whether nginx's master, which is all that the container runs, is there. */
  isRunning(): Promise<boolean>;
  /** Restarts nginx and so loses all shared memory. The port may change. */
  restart(): Promise<void>;
  /** Ends the container. Fails if the error log has an [error], [alert] or [crit] that was not expected. */
  stop(...expected: RegExp[]): Promise<void>;
}

const PUBLISHER = `
location /publish/ {
    allow all;
    include sse/publisher.conf;
}`;
const SUBSCRIBER = `
location /events/ {
    include sse/subscriber.conf;
}`;

/** The two locations of nearly every test. */
export const PUBLISH_AND_SUBSCRIBE = PUBLISHER + SUBSCRIBER;

/** Answers while no shared dictionary is locked; for `killOutsideOfLocks`. */
export const LOCKS = 'location = /locks { include sse/health.conf; }';

/**
 * Kills a worker that is under load, but not while it is inside a shared dictionary: that would leave all others hanging, which is
 * njs's fault and docs/faults.md's, and no test's. It is stopped first; if another worker can lock each dictionary then, it is killed.
 */
export async function killOutsideOfLocks(nginx: Nginx, pid: string): Promise<void> {
  const killed = await nginx.sh(`
    for try in $(seq 50); do
      kill -STOP ${pid}
      for connection in $(seq 12); do
        if curl -sf -o /dev/null -m 0.3 http://127.0.0.1:${PORT}/locks; then kill -9 ${pid}; echo killed; exit; fi
      done
      kill -CONT ${pid}
    done`);
  if (!killed.includes('killed')) {
    throw new Error(`worker ${pid} was always inside a shared dictionary, or there is no other one`);
  }
}

/** A file of dist/sse/ with one thing changed, for `files`. */
export function changed(file: string, before: string, after: string): Record<string, string> {
  const parts = readFileSync(`dist/sse/${file}`, 'utf8').split(before);
  if (parts.length !== 2) {
    throw new Error(`"${before}" is ${parts.length - 1} times in ${file}`);
  }
  return { [`/etc/nginx/sse/${file}`]: parts.join(after) };
}

export async function startNginx(options: Options = {}): Promise<Nginx> {
  const files = { '/etc/nginx/nginx.conf': configuration(options), ...options.files };
  let output = '';
  const container = newContainer(options.engine);
  if (options.network) {
    container.withNetwork(options.network).withNetworkAliases('nginx');
  }
  const started = await container
    .withCopyContentToContainer(Object.entries(files).map(([target, content]) => ({ target, content })))
    .withExposedPorts(PORT)
    .withWaitStrategy(Wait.forHttp('/health', PORT))
    .withStartupTimeout(30000)
    .withLogConsumer((stream) => {
      stream.on('data', (chunk) => {
        output += chunk;
      });
    })
    .start()
    .catch((error: Error) => {
      throw new Error(`nginx did not start: ${output}`, { cause: error });
    });
  return handle(started);
}

/** A container of the image under test, which is removed after the tests in any case. */
export function newContainer(engine?: JsEngine): GenericContainer {
  const image = engine === 'njs 0.8.9' ? process.env.NJS_SSE_OLDEST_IMAGE : process.env.NJS_SSE_IMAGE;
  if (!image) {
    throw new Error('run the tests with "npm test": it builds the image that they need');
  }
  const [key, value] = (process.env.NJS_SSE_TEST_LABEL ?? 'njs-sse.test=0').split('=') as [string, string];
  return new GenericContainer(image).withLabels({ [key]: value });
}

/** Debian's stream is a module itself; a pattern that matches no file is no error. */
const STREAM = `
include /usr/share/nginx/modules-available/mod-stream.con[f];
load_module modules/ngx_stream_js_module.so;`;
/** Under njs as it comes, under qjs in a stream block of the user's own. */
const DOORBELL = {
  njs: `${STREAM}
include sse/doorbell.conf;`,
  qjs: `${STREAM}
env NJS_SSE_DOORBELL=1;
stream {
    js_engine qjs;
    include sse/doorbell-server.conf;
}`,
};

function configuration(options: Options): string {
  const { main = '', http = '', server = '', workers = 2, doorbell = false } = options;
  const engine = (options.engine ?? 'qjs') === 'qjs' ? 'qjs' : 'njs';
  return `
load_module modules/ngx_http_js_module.so;
${doorbell ? DOORBELL[engine] : ''}
${main}
worker_processes ${workers};
pid /tmp/nginx.pid;
error_log /tmp/error.log info;
events { worker_connections 4096; }
http {
    include mime.types;
    access_log off;
    client_body_temp_path /tmp/client_body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    js_engine ${engine};
    include sse/http.conf;
    ${http}
    server {
        listen ${PORT} reuseport;
        http2 on;
        add_header X-Worker $pid always;
        location = /health { return 204; }
        ${server}
    }
}`;
}

function handle(container: StartedTestContainer): Nginx {
  const nginx: Nginx = {
    url: '',
    host: container.getHost(),
    port: 0,
    log: () => nginx.sh('cat /tmp/error.log'),
    sh: async (command) => (await container.exec(['sh', '-c', command])).output,
    isRunning: () =>
      container.exec(['true']).then(
        () => true,
        () => false,
      ),
    restart: async () => {
      await container.restart();
      locate();
    },
    stop: async (...expected) => {
      const lines = (await nginx.log()).split('\n');
      await container.stop({ timeout: 0 });
      const unexpected = lines.filter(
        (line) =>
          /\[(error|crit|alert|emerg)\]/.test(line) && !expected.some((pattern) => pattern.test(line)),
      );
      if (unexpected.length > 0) {
        throw new Error(`unexpected in nginx's error log:\n${unexpected.join('\n')}`);
      }
    },
  };
  locate();
  return nginx;

  function locate(): void {
    nginx.port = container.getMappedPort(PORT);
    nginx.url = `http://${nginx.host}:${nginx.port}`;
  }
}
