/**
 * How far someone has read in one channel's log: up to this place. The epoch names one life of the log; it
 * changes when the log was lost.
 */
export interface Position {
  epoch: string;
  place: number;
}

/** A position in a log that never is: a client that comes back with it has missed what there is. */
const NOWHERE = '0-0';

/**
 * One id that holds a position in each of several logs: `<epoch>-<place>`, with commas between them. One that is `lost` was not
 * told yet that it has missed something.
 */
export function formatPositions(positions: (Position & { phase: string })[]): string {
  const format = (position: Position & { phase: string }) =>
    position.phase === 'lost' ? NOWHERE : position.epoch + '-' + position.place;
  return positions.length > 1 ? positions.map(format).join(',') : format(positions[0]!);
}

/** The positions in a Last-Event-ID; none if it is not of our making (a publisher's own id). */
export function parsePositions(id: string): Position[] {
  const parts = id.split(',').map((part) => /^([0-9a-z]{1,11})-([0-9]{1,15})$/.exec(part));
  return parts.some((part) => !part)
    ? []
    : parts.map((part) => ({ epoch: part![1]!, place: Number(part![2]) }));
}
