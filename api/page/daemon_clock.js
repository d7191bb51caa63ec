/* The daemon's clock, as far as the browser can know it. What the daemon says happened at some time is as old as its own clock has it, and the
 * browser's may differ by minutes. Without a page around it. */

const SAMPLES_MOST = 4;   // heartbeats, of the last minute

let samples = [];   // by how many milliseconds the browser's clock was ahead of the time that a heartbeat had, when it came
let ahead = 0;

/* Of a heartbeat of the event stream. What was long on its way makes the browser's clock look ahead: the one that was fastest counts. */
export function takeTime(at, now = Date.now()) {
	samples = [...samples, now - at].slice(-SAMPLES_MOST);
	ahead = Math.min(...samples);
}

/* Those of another connection, or of another daemon, tell nothing of this one's. */
export function forgetTimes() {
	samples = [];
}

/* In milliseconds since 1970, as the browser's own is until the first heartbeat comes. */
export function daemonNow(now = Date.now()) {
	return now - ahead;
}
