/* What is pressed, and how often it acts. */

import assert from "node:assert/strict";
import test from "node:test";

import { alone } from "../../../api/page/dom.js";

test("what is pressed again while it is being done acts once", async () => {
	const event = { preventDefault() {} };
	let count = 0, finish;
	const press = alone(() => { count++; return new Promise((resolve) => { finish = resolve; }); });
	const first = press(event);
	await press(event);
	assert.equal(count, 1);
	finish();
	await first;
	press(event);
	assert.equal(count, 2);
});
