// biome-ignore lint/style/useNodejsImportProtocol: njs has a module of this name, too
import fs from 'fs';
import { MISSING, openNotes, resolve } from './ring.ts';
import { isLeaving } from './worker.ts';
import { counts } from './zones.ts';

/** How often to look whether a bell rang, in milliseconds: one look for all who wait in a worker. */
const POLL = 1;
/** The same after a long silence. Each look wakes the processor. */
const IDLE_POLL = 25;
/** The same where hardly anybody notes a ring: publishers pass their own on. Also how often to look whether this worker leaves. */
const RARE_POLL = 1000;
/** Of the time since a bell rang, the part that may pass before the next look. */
const PART = 100;
/** A run starts with what rang while none ran. */
const OVERLAP = 1000;
/** How long a ring may go without its note, which is written after it; and how far notes may be out of order. */
const PATIENCE = 100;
/** How often to introduce the resolver, in milliseconds: nginx closes its connection 5 s after it last wrote to it. */
const INTRODUCE = 2500;
/** How long to wait before that: on a reload the old workers still accept connections when the new ones start. */
const SETTLE = 1000;
/** What is asked has to be answered before the run ends: nothing new so long before that, in milliseconds. */
const LAST = 500;

/** How /proc/net/udp shows the doorbell's two sockets, 127.0.0.1:8130 and 8131: no far end, and waiting for datagrams. */
const SOCKETS = ['0100007F:1FC2 00000000:0000 07', '0100007F:1FC3 00000000:0000 07'];
const PORTION = 65536;
/** Longer than it takes until they are looked for again, in milliseconds. */
const KEEP_MISSING = 150000;

/**
 * Passes rings on to those who wait in this worker: resolves `<bell>-<number>.ring.sse` by the same socket as they
 * do, whereupon the doorbell answers them. And introduces the resolver to the doorbell, by `<name>.hello.sse`, so that it can
 * answer all of them when nginx shuts down.
 *
 * @param duration in milliseconds.
 */
export function passBells(duration: number): void {
  if (!hasServers()) {
    const isNews = !counts.has(MISSING);
    counts.set(MISSING, 1, KEEP_MISSING);
    if (isNews) {
      ngx.log(
        ngx.ERR,
        'sse: NJS_SSE_DOORBELL is set but nothing listens on 127.0.0.1:8130 and :8131: ' +
          'put "include sse/doorbell-server.conf;" into stream; until then subscribers poll',
      );
    }
    return;
  }
  counts.delete(MISSING);
  const end = Date.now() + duration;
  const notes = openNotes();
  let passed = notes.last();
  let latest = Date.now() - OVERLAP;
  let missingSince = 0;
  let lookForLeaving = 0;
  let introduceAt = Date.now() + SETTLE;
  const name = process.pid + '-' + Math.random();
  while (passed > 0 && timeOf(passed) > latest) {
    passed--;
  }
  look();

  function look(): void {
    const last = notes.last();
    const now = Date.now();
    const introduces = now >= introduceAt;
    if (now >= lookForLeaving || introduces || passed < last) {
      lookForLeaving = now + RARE_POLL;
      if (isLeaving(now, 0)) {
        // Nobody would hear of what is asked now, and that would keep the worker.
        return;
      }
    }
    if (passed < last) {
      pass(last);
    }
    if (introduces) {
      introduceAt = now + INTRODUCE < end - LAST ? now + INTRODUCE : Infinity;
      resolve(name + '.hello', ignore);
    }
    if (now < end) {
      const delay = notes.areExpected() ? Math.min(IDLE_POLL, (now - latest) / PART) : RARE_POLL;
      const atMost = Math.min(lookForLeaving, introduceAt, end) - now;
      setTimeout(look, Math.max(POLL, Math.min(delay, atMost)));
    }
  }

  function ignore(): void {}

  /** True where it cannot be found out. */
  function hasServers(): boolean {
    let text = '';
    try {
      const file = fs.openSync('/proc/net/udp', 'r');
      const portion = Buffer.alloc(PORTION);
      for (let read = PORTION; read > 0; ) {
        read = fs.readSync(file, portion, 0, PORTION, null);
        text += portion.toString('utf8', 0, read);
      }
      fs.closeSync(file);
    } catch {
      return true;
    }
    return text.indexOf(SOCKETS[0]!) >= 0 && text.indexOf(SOCKETS[1]!) >= 0;
  }

  function pass(last: number): void {
    const bells: number[] = [];
    while (passed < last) {
      const note = notes.at(passed + 1);
      const isMissing = !note || note.time < latest - PATIENCE;
      if (isMissing) {
        missingSince = missingSince || Date.now();
        if (Date.now() - missingSince < PATIENCE) {
          break;
        }
      }
      missingSince = 0;
      passed++;
      if (note) {
        latest = note.time;
        if (bells.indexOf(note.bell) < 0) {
          bells.push(note.bell);
        }
      }
    }
    for (let i = 0; i < bells.length; i++) {
      resolve(notes.nameOf(bells[i]!) + '.ring', ignore);
    }
  }

  function timeOf(ring: number): number {
    const note = notes.at(ring);
    return note ? note.time : 0;
  }
}
