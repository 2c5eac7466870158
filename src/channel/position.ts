/**
 * How far someone has read in one channel's log: up to this place. The epoch names one life of the log; it
 * changes when the log was lost.
 */
export interface Position {
  epoch: string;
  place: number;
}

/** One id that holds a position in each of several logs: `<epoch>-<place>`, with commas between them. */
export function formatPositions(positions: Position[]): string {
  const first = positions[0]!;
  return positions.length > 1
    ? positions.map((position) => position.epoch + '-' + position.place).join(',')
    : first.epoch + '-' + first.place;
}

/** The positions in a Last-Event-ID; none if it is not of our making (a publisher's own id). */
export function parsePositions(id: string): Position[] {
  const parts = id.split(',').map((part) => /^([0-9a-z]{1,11})-([0-9]{1,15})$/.exec(part));
  return parts.some((part) => !part)
    ? []
    : parts.map((part) => ({ epoch: part![1]!, place: Number(part![2]) }));
}
