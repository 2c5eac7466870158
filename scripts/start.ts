/** npm start: builds everything, starts the demo in a container, follows its log, cleans up on Ctrl-C. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildAll } from './build.ts';
import { type Engine, findEngine } from './engine.ts';
import { buildImage } from './image.ts';
import { Missing, main, output, runQuietly, say, succeeds } from './run.ts';

const CONTAINER = 'njs-sse';
const IMAGE = 'njs-sse';
const HEALTH_SECONDS = 20;

await main(async () => {
  const port = process.env.PORT || '8080';
  const url = `http://127.0.0.1:${port}`;

  say('compiling src/ for njs');
  await buildAll();
  const engine = await findEngine();
  const image = buildImage(engine, IMAGE);

  succeeds(engine, 'rm', '--force', CONTAINER);
  if (!(await isFree(Number(port)))) {
    throw new Missing(`port ${port} is taken: choose another, as in "PORT=8081 npm start"`);
  }
  say(`starting the container "${CONTAINER}"`);
  runQuietly(engine, [
    'run',
    '--detach',
    '--name',
    CONTAINER,
    '--publish',
    `127.0.0.1:${port}:8080`,
    image.name,
  ]);
  await waitForHealth(engine, url);
  sayWhatToTry(url);

  if (process.argv.includes('--detach')) {
    say('running in the background: "npm stop" ends it');
    return;
  }
  await followLog(engine);
});

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    server.once('error', () => resolve(false));
  });
}

async function waitForHealth(engine: Engine, url: string): Promise<void> {
  for (let i = 0; i < HEALTH_SECONDS * 5; i++) {
    const healthy = await fetch(`${url}/health`).then(
      (reply) => reply.ok,
      () => false,
    );
    if (healthy) {
      return;
    }
    await sleep(200);
  }
  const log = output(engine, 'logs', '--tail', '5', CONTAINER);
  succeeds(engine, 'rm', '--force', CONTAINER);
  throw new Missing(`nginx does not answer on ${url}: ${log.trim() || 'its log is empty'}`);
}

function sayWhatToTry(url: string): void {
  console.log(`
  The demo page    ${url}/
  A chat room      ${url}/chat/
  A clock          ${url}/clock

  Listen           curl -N ${url}/events/news
  Publish          curl -d 'Hello, world' ${url}/publish/news
`);
}

function followLog(engine: Engine): Promise<void> {
  say('following the log of nginx; Ctrl-C ends everything');
  const logs = spawn(engine, ['logs', '--follow', CONTAINER], { stdio: 'inherit', detached: true });
  return new Promise((resolve) => {
    const end = () => {
      logs.kill();
      succeeds(engine, 'rm', '--force', CONTAINER);
      say('the container is removed');
      resolve();
      process.exit(0);
    };
    process.once('SIGINT', end);
    process.once('SIGTERM', end);
    logs.once('exit', end);
  });
}
