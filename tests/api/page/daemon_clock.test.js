/* Ages are told by the daemon's clock, whatever the browser's says. */

import assert from "node:assert/strict";
import test from "node:test";

import { daemonNow, forgetTimes, takeTime } from "../../../api/page/daemon_clock.js";

const MINUTE = 60000;

test("a browser whose clock is ahead or behind knows the daemon's time", () => {
	for (const ahead of [-10 * MINUTE, 0, 7 * MINUTE]) {
		forgetTimes();
		takeTime(1000000, 1000000 + ahead);
		assert.equal(daemonNow(1005000 + ahead), 1005000);
	}
});

test("a heartbeat that comes late does not make the time wrong", () => {
	forgetTimes();
	takeTime(1000, 1000 + MINUTE + 20);
	takeTime(16000, 16000 + MINUTE + 9000);
	assert.equal(daemonNow(30000 + MINUTE), 29980);
});

test("a clock that was set is right again after four heartbeats", () => {
	forgetTimes();
	takeTime(0, 0);
	for (const at of [15000, 30000, 45000, 60000])
		takeTime(at, at + MINUTE);
	assert.equal(daemonNow(70000 + MINUTE), 70000);
});
