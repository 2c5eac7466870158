import {
  getContainerRuntimeClient,
  Network,
  type StartedNetwork,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, publish, subscribers } from './client.ts';
import { allEngines, type Nginx, newContainer, PUBLISH_AND_SUBSCRIBE, startNginx } from './nginx.ts';

interface Client {
  container: StartedTestContainer;
  /** What it received. */
  output: string;
}

/** A client that loses its network says nothing to the server, and what the server sends is never acknowledged. */
describe.each(allEngines)('clients that vanish (%s)', (engine) => {
  let network: StartedNetwork;
  let nginx: Nginx;
  const clients: Client[] = [];

  beforeAll(async () => {
    network = await new Network().start();
    nginx = await startNginx({ engine, network, server: `set $sse_heartbeat 2s; ${PUBLISH_AND_SUBSCRIBE}` });
  });
  afterAll(async () => {
    await Promise.all(clients.map(({ container }) => container.stop({ timeout: 0 })));
    try {
      await nginx.stop();
    } finally {
      await network.stop();
    }
  });

  async function startClient(channel: string): Promise<Client> {
    const client = { output: '' } as Client;
    client.container = await newContainer()
      .withNetwork(network)
      .withCommand(['curl', '-sN', `http://nginx:8080/events/${channel}`])
      .withWaitStrategy(Wait.forLogMessage('retry: '))
      .withLogConsumer((stream) => {
        stream.on('data', (chunk) => {
          client.output += chunk;
        });
      })
      .start();
    clients.push(client);
    return client;
  }

  test.each([
    ['is silent', 0],
    ['is busy', 50],
  ])('are uncounted, those that are there stay, while the channel %s', async (_, interval) => {
    const channel = `lost-${interval}`;
    const [lost, kept] = await Promise.all([startClient(channel), startClient(channel)]);
    await eventually(
      () => subscribers(nginx, channel),
      (count) => count === 2,
    );
    const busy = interval
      ? setInterval(() => publish(nginx, channel, 'x').catch(() => {}), interval)
      : undefined;
    try {
      const { container } = await getContainerRuntimeClient();
      await container.dockerode
        .getNetwork(network.getId())
        .disconnect({ Container: lost!.container.getId(), Force: true });
      await eventually(
        () => subscribers(nginx, channel),
        (count) => count === 1,
      );
    } finally {
      clearInterval(busy);
    }
    await publish(nginx, channel, 'the last');
    await eventually(
      async () => kept!.output,
      (output) => output.includes('data: the last\n'),
    );
    expect(kept!.output).not.toContain('event: sse-gap');
    expect(await subscribers(nginx, channel)).toBe(1);
  });
});
