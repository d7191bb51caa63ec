/* What is pressed, and how often it acts; what is asked, and which answer counts. */

import assert from "node:assert/strict";
import test from "node:test";

import { alone, newestOf } from "../../../api/page/dom.js";

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

test("of answers that overlap only the newest is shown", async () => {
	const asked = [], shown = [];
	const read = newestOf(() => new Promise((resolve, reject) => { asked.push({ resolve, reject }); }), (answer) => shown.push(answer));
	const first = read(), second = read(), third = read();
	asked[1].resolve("second");
	asked[2].resolve("third");
	asked[0].reject(new Error("of the first"));
	assert.deepEqual(await Promise.all([first, second, third]), [undefined, "second", "third"]);
	assert.deepEqual(shown, ["third"]);
	const last = read();
	asked[3].reject(new Error("of the newest"));
	await assert.rejects(last, /of the newest/);
});
