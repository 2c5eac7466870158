/** An SSE server on the host, under the test's control, that containers can reach. */
import { execFileSync } from 'node:child_process';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Connection {
  path: string;
  headers: IncomingHttpHeaders;
  response: ServerResponse;
  closed: boolean;
}

export interface SseServer {
  /** How a container reaches it: `host:port`. */
  address: string;
  /** All connections there were. */
  connections: Connection[];
  open(): Connection[];
  /** Answers the next requests; the default starts an event stream. */
  answer: (connection: Connection) => void;
  /** Writes to all open connections. */
  write(text: string): void;
  close(): Promise<void>;
}

export async function startSseServer(): Promise<SseServer> {
  const connections: Connection[] = [];
  const server: Server = createServer((request, response) => {
    const connection = { path: request.url!, headers: request.headers, response, closed: false };
    response.on('close', () => {
      connection.closed = true;
    });
    connections.push(connection);
    handle.answer(connection);
  });
  const port = await listen(server);
  const handle: SseServer = {
    address: `${bridgeAddress()}:${port}`,
    connections,
    open: () => connections.filter(({ closed }) => !closed),
    answer: startStream,
    write: (text) => {
      for (const { response } of handle.open()) {
        response.write(text);
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return handle;
}

/** Listens where containers can reach it, and resolves with the port. */
export function listen(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, bridgeAddress(), () => resolve((server.address() as AddressInfo).port)),
  );
}

export function startStream({ response }: Connection): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.flushHeaders();
}

/** The host's address on the network of the containers: its gateway, by convention the first of its subnet. */
export function bridgeAddress(): string {
  const engine = process.env.NJS_SSE_ENGINE ?? 'docker';
  const name = engine === 'podman' ? 'podman' : 'bridge';
  const [network] = JSON.parse(execFileSync(engine, ['network', 'inspect', name], { encoding: 'utf8' }));
  const config = network.subnets?.[0] ?? network.IPAM.Config[0];
  return config.gateway ?? config.Gateway ?? (config.subnet ?? config.Subnet).replace(/0\/[0-9]+$/, '1');
}
