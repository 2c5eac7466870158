/** An SSE server on the host, under the test's control, that containers can reach. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';

export interface Connection {
  path: string;
  headers: IncomingHttpHeaders;
  response: ServerResponse;
  closed: boolean;
}

export interface SseServer {
  /** How a container reaches it: `host:port`. */
  address: string;
  port: number;
  /** All connections there were. */
  connections: Connection[];
  open(): Connection[];
  /** Answers the next requests; the default starts an event stream. */
  answer: (connection: Connection) => void;
  /** Writes to all open connections. */
  write(text: string): void;
  close(): Promise<void>;
}

export async function startSseServer(port = 0): Promise<SseServer> {
  const connections: Connection[] = [];
  const server: Server = createServer((request, response) => {
    const connection = { path: request.url!, headers: request.headers, response, closed: false };
    response.on('close', () => {
      connection.closed = true;
    });
    connections.push(connection);
    handle.answer(connection);
  });
  const host = bridgeAddress();
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const handle: SseServer = {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    port: (server.address() as AddressInfo).port,
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

export function startStream({ response }: Connection): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.flushHeaders();
}

/** The host's address on the network of the containers. */
function bridgeAddress(): string {
  const bridge = Object.entries(networkInterfaces()).find(([name]) =>
    /^(docker|podman|cni-podman)0$/.test(name),
  );
  const address = bridge?.[1]?.find(({ family }) => family === 'IPv4')?.address;
  if (!address) {
    throw new Error('no bridge to the containers was found (docker0, podman0)');
  }
  return address;
}
