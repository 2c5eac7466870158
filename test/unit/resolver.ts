/** What a resolver asks the doorbell. */
import { bellNumbers, waits } from './zones.ts';

const { default: doorbell } = await import('../../src/doorbell.ts');
const { default: doorbellConnection } = await import('../../src/doorbell-connection.ts');
const { parseQuestion } = await import('../../src/doorbell/dns.ts');

/** A query as nginx sends it. */
export function query(name: string, id: number): Buffer {
  const labels = name.split('.').map((label) => String.fromCharCode(label.length) + label);
  const message = Buffer.concat([
    Buffer.from('000001000001000000000000', 'hex'),
    Buffer.from(`${labels.join('')}\0\0\x01\0\x01`),
  ]);
  message.writeUInt16BE(id, 0);
  return message;
}

export function forgetAll(): void {
  bellNumbers.entries.clear();
  waits.entries.clear();
}

/** A session of the doorbell, and what it has sent: ids and names. */
export function session(port = 40000) {
  const listeners: Record<string, (data: Buffer) => void> = {};
  const sent: string[] = [];
  doorbell.answer({
    variables: { remote_port: String(port) },
    on: (event: string, listener: (data: Buffer) => void) => {
      listeners[event] = listener;
    },
    sendDownstream: (data: Buffer) => {
      const query = Buffer.concat([data.subarray(0, 2), Buffer.from([1, 0]), data.subarray(4)]);
      const truncated = data[2]! & 2 ? ' truncated' : '';
      sent.push(`${data.readUInt16BE(0)} ${parseQuestion(query)!.name}${truncated}`);
    },
  } as unknown as NginxStreamRequest);
  const ask = (name: string, id = 1) => listeners.upstream!(query(name, id));
  const hear = (ring: string) => listeners.downstream!(Buffer.from(ring.padEnd(33)));
  const receive = (data: Buffer) => listeners.upstream!(data);
  return { ask, hear, receive, sent };
}

type Listeners = Record<string, (data: Buffer, flags: { last?: boolean }) => void>;

/** A connection of a resolver, and what it has been sent: ids and names. */
export function connection() {
  const listeners: Listeners = {};
  const sent: string[] = [];
  doorbellConnection.answer({
    on: (event: string, listener: Listeners[string]) => {
      listeners[event] = listener;
    },
    sendDownstream: (data: Buffer) => {
      for (let at = 0; at < data.length; at += 2 + data.readUInt16BE(at)) {
        const message = Buffer.from(data.subarray(at + 2, at + 2 + data.readUInt16BE(at)));
        const id = message.readUInt16BE(0);
        message.set([1, 0], 2);
        sent.push(`${id} ${parseQuestion(message)!.name}`);
      }
    },
  } as unknown as NginxStreamRequest);
  return {
    sent,
    receive: (data: Buffer) => listeners.upstream!(data, {}),
    ask: (name: string, id = 1) => listeners.upstream!(overTcp(name, id), {}),
    /** The side that ends it. */
    end: (side: 'upstream' | 'downstream') => listeners[side]!('' as unknown as Buffer, { last: true }),
  };
}

export function overTcp(name: string, id: number): Buffer {
  const message = query(name, id);
  return Buffer.concat([Buffer.from([0, message.length]), message]);
}
