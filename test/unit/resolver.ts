/** What a resolver asks the doorbell. */
import { bellNumbers, waits } from './zones.ts';

const { default: doorbell } = await import('../../src/doorbell.ts');
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

/** A session of the doorbell, and what it has sent: ids and names. */
export function session(port = 40000) {
  bellNumbers.entries.clear();
  waits.entries.clear();
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
  return { ask, hear, sent };
}
