/* What an edit changes, and where a member stands in the text. */

import assert from "node:assert/strict";
import test from "node:test";

import { differences, locate, namesOf, read, write } from "../../../api/page/difference.js";

test("a difference is told at its member", () => {
	const before = { labels: { "a/b": "1" }, spec: { mtu: 1420, peers: [{ key: "x", ips: ["a"] }], gone: 1 } };
	const after = { labels: { "a/b": "2" }, spec: { mtu: 1400, peers: [{ key: "x", ips: ["a", "b"] }], fresh: null } };
	assert.deepEqual(differences(before, after), [
		{ pointer: "/labels/a~1b", before: "1", after: "2" },
		{ pointer: "/spec/mtu", before: 1420, after: 1400 },
		{ pointer: "/spec/peers/0/ips", before: ["a"], after: ["a", "b"] },
		{ pointer: "/spec/gone", before: 1, after: undefined },
		{ pointer: "/spec/fresh", before: undefined, after: null }]);
	assert.deepEqual(differences(before, structuredClone(before)), []);
	assert.deepEqual(differences({ a: [{ b: 1 }] }, { a: [] }), [{ pointer: "/a", before: [{ b: 1 }], after: [] }]);
});

test("what differs can be laid over another document", () => {
	const theirs = { labels: { "warren.weight": "1" }, spec: { mtu: 1420, dns: ["b"] } };
	const before = { labels: { "warren.weight": "1" }, spec: { mtu: 1420 } }, mine = { labels: { "warren.weight": "9" }, spec: { mtu: 1400 } };
	for (const { pointer, after } of differences(before, mine))
		write(theirs, namesOf(pointer), after);
	assert.deepEqual(theirs, { labels: { "warren.weight": "9" }, spec: { mtu: 1400, dns: ["b"] } });
	write(theirs, "spec.mtu", undefined);
	write(theirs, "spec.limits.connections", 5);
	assert.deepEqual(theirs.spec, { dns: ["b"], limits: { connections: 5 } });
	assert.equal(read(theirs, "spec.limits.connections"), 5);
	assert.equal(read(theirs, "spec.none.such"), undefined);
	write(theirs, "spec.limits.connections", undefined);
	write(theirs, "spec.none.such", undefined);
	assert.deepEqual(theirs.spec, { dns: ["b"] }, "what has nothing left goes");
	const rules = { spec: { rules: [{ members: { tunnels: ["a"] } }] } };
	write(rules, "spec.rules.0.members.tunnels", undefined);
	assert.deepEqual(rules.spec.rules, [{}], "but for an item of a list");
});

test("a pointer finds its value in the text", () => {
	const text = JSON.stringify({ a: "x \"y\" {", "b/c": [1, { d: [true, null] }], e: {} }, null, 2);
	const find = (pointer) => text.slice(...locate(text, pointer));
	assert.equal(find("/a"), "\"x \\\"y\\\" {\"");
	assert.equal(find("/b~1c/0"), "1");
	assert.equal(find("/b~1c/1/d/1"), "null");
	assert.equal(find("/e"), "{}");
	assert.equal(find(""), text);
	assert.equal(find("/e/missing"), "{}", "what is missing is found where it should be");
	assert.equal(locate("{ not json", "/a"), null);
});
