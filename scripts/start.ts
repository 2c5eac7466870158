/** npm start: builds everything, starts the demo in two containers, follows nginx's log, cleans up on Ctrl-C. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { buildAll } from './build.ts';
import { MACHINE, NGINX, removeContainers, startMachine, startNginx } from './containers.ts';
import { type Engine, findEngine } from './engine.ts';
import { buildImage, CURRENT } from './image.ts';
import { Missing, main, say } from './run.ts';

const IMAGE = 'njs-sse';

await main(async () => {
  const port = process.env.PORT || '8080';
  if (!/^[1-9][0-9]{0,4}$/.test(port) || Number(port) > 65535) {
    throw new Missing(`PORT is "${port}": give a number from 1 to 65535, as in "PORT=8081 npm start"`);
  }

  say('compiling src/ for njs');
  await buildAll();
  const engine = await findEngine();
  const image = buildImage(engine, IMAGE, CURRENT);

  // A demo that runs already is replaced by this one.
  removeContainers(engine);
  if (!(await isFree(Number(port)))) {
    throw new Missing(`port ${port} is taken: choose another, as in "PORT=8081 npm start"`);
  }
  process.once('SIGINT', () => end(engine));
  process.once('SIGTERM', () => end(engine));
  try {
    await startNginx(engine, image.name, port);
    await startMachine(engine, image.name);
  } catch (error) {
    removeContainers(engine);
    throw error;
  }
  sayWhatToTry(engine, `http://127.0.0.1:${port}`);

  if (process.argv.includes('--detach')) {
    say('running in the background: "npm stop" ends it');
    return;
  }
  followLog(engine);
});

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    server.once('error', () => resolve(false));
  });
}

function sayWhatToTry(engine: Engine, url: string): void {
  console.log(`
  The demo page    ${url}/
  A chat room      ${url}/chat/
  A clock          ${url}/clock

  Listen           curl -N ${url}/events/news
  Publish          curl -d 'Hello, world' ${url}/publish/news

  An upstream      curl -N ${url}/events/machine
  Stop it          ${engine} stop ${MACHINE}
  Start it         ${engine} start ${MACHINE}
`);
}

/** Lasts as long as the container. */
function followLog(engine: Engine): void {
  say('following the log of nginx; Ctrl-C ends everything');
  const logs = spawn(engine, ['logs', '--follow', NGINX], { stdio: 'inherit' });
  logs.once('exit', () => end(engine));
}

function end(engine: Engine): void {
  removeContainers(engine);
  say('the containers are removed');
  process.exit(0);
}
