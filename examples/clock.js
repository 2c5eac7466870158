// A location of your own that sends events: GET /clock
import sse from 'sse/stream.js';

function clock(r) {
  const stream = sse.openStream(r);

  function tick() {
    if (stream.send({ event: 'tick', data: { time: new Date().toISOString() } })) {
      setTimeout(tick, 1000);
    }
  }
  tick();
}

export default { clock };
