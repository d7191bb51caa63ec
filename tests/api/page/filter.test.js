/* Which rows are shown, in which order, and which of them are in the document. */

import assert from "node:assert/strict";
import test from "node:test";

import { arrange, compareBy, labelKeys, problemOf, problems, searchText, visibleRange } from "../../../api/page/filter.js";

const WANTED = { text: "", state: "", health: "", pool: "", group: "", column: "id", isReversed: false };

function row(id, more = {}) {
	const made = { id, labels: {}, listen: [], state: "up", healthy: true, reason: "", conditions: [], since: 0, rtt: null,
		sent: 0, received: 0, handshake: null, open: 0, ...more };
	made.search = searchText(made);
	return made;
}

const ids = (list) => list.map((one) => one.id ?? one.group);

test("words must all match, in any of name, label and address", () => {
	const rows = [row("ams-1", { labels: { country: "NL" }, listen: ["127.0.0.1:1080"] }), row("ams-2", { labels: { country: "DE" } })];
	for (const [text, found] of [["", ["ams-1", "ams-2"]], ["ams nl", ["ams-1"]], ["COUNTRY=de", ["ams-2"]], [":1080", ["ams-1"]], ["ams xx", []]])
		assert.deepEqual(ids(arrange(rows, { ...WANTED, text }, new Map()).rows), found, text);
});

test("state, health and pool narrow the rows", () => {
	const rows = [row("a"), row("b", { healthy: false }), row("c", { state: "stale", healthy: false }), row("d", { healthy: null }),
		row("e", { state: "disabled", healthy: false })];
	const show = (wanted) => ids(arrange(rows, { ...WANTED, ...wanted }, new Map([["eu", new Set(["a", "c"])]])).rows);
	assert.deepEqual(show({ state: "up" }), ["a", "b", "d"]);
	assert.deepEqual(show({ state: "problem" }), ["b", "c"]);
	assert.deepEqual(show({ health: "unhealthy" }), ["b", "c", "e"]);
	assert.deepEqual(show({ health: "unknown" }), ["d"]);
	assert.deepEqual(show({ pool: "eu" }), ["a", "c"]);
	assert.deepEqual(show({ pool: "gone" }), []);
});

test("the worst is the first problem", () => {
	const rows = [row("fine"), row("told", { conditions: ["the quota is used up"] }), row("sick", { healthy: false }),
		row("gone", { state: "stale" }), row("broken", { state: "failed" }), row("off", { state: "disabled" })];
	assert.deepEqual(ids(problems(rows)), ["broken", "gone", "sick", "told"]);
});

test("a handshake is a problem after ten seconds", () => {
	assert.equal(problemOf(row("a", { state: "handshaking", since: 1000 }), 9000), null);
	assert.equal(problemOf(row("a", { state: "handshaking", since: 1000 }), 11000), "handshaking");
});

test("equal values are ordered by name, and what is not known is last", () => {
	const rows = [row("c", { rtt: 5 }), row("a"), row("b", { rtt: 5 }), row("d", { rtt: 1 })];
	assert.deepEqual(ids([...rows].sort(compareBy("rtt", false))), ["d", "b", "c", "a"]);
	assert.deepEqual(ids([...rows].sort(compareBy("rtt", true))), ["a", "b", "c", "d"]);
	const busy = [row("a", { received: 1 }), row("b", { received: 9 })];
	assert.deepEqual(ids([...busy].sort(compareBy("received", false))), ["b", "a"]);
});

test("a label that is named like a member of each object makes no group of its own", () => {
	const { lines } = arrange([row("a"), row("b", { labels: { constructor: "c" } })], { ...WANTED, group: "constructor" }, new Map());
	assert.deepEqual(ids(lines), ["constructor=c", "b", "without constructor", "a"]);
});

test("groups have a heading, and those without the label are last", () => {
	const of = (country) => ({ labels: { country } });
	const rows = [row("a", of("nl")), row("b"), row("c", of("de")), row("d", of("nl"))];
	const { lines, rows: shown } = arrange(rows, { ...WANTED, group: "country" }, new Map());
	assert.deepEqual(ids(lines), ["country=de", "c", "country=nl", "a", "d", "without country", "b"]);
	assert.equal(shown.length, 4);
	assert.deepEqual(labelKeys(rows), ["country"]);
});

test("the window is what is seen and some around it", () => {
	assert.deepEqual(visibleRange(10000, 44, 0, 900), [0, 29]);
	assert.deepEqual(visibleRange(10000, 44, 44000, 44900), [992, 1029]);
	assert.deepEqual(visibleRange(3, 44, -500, 400), [0, 3]);
	assert.deepEqual(visibleRange(0, 44, 0, 900), [0, 0]);
	assert.deepEqual(visibleRange(5, 44, 10000, 10900), [5, 5]);
});

test("ten thousand are arranged within a frame or two", () => {
	const rows = Array.from({ length: 10000 }, (_, i) => row(`t-${i}`, { labels: { country: ["nl", "de"][i % 2] }, received: i % 97 }));
	const began = performance.now();
	assert.equal(arrange(rows, { ...WANTED, text: "t-99", group: "country", column: "received" }, new Map()).rows.length, 111);
	assert.ok(performance.now() - began < 1000, "a bound against a hang only");
});
