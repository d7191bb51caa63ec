/* A document as a form, and back. */

import assert from "node:assert/strict";
import test from "node:test";

import { POOL, TUNNEL, fromText, pathOfPointer, toText } from "../../../api/page/fields.js";

test("a value comes back as it was", () => {
	for (const [kind, value] of [["lines", ["10.0.0.1/32", "fd00::1/128"]], ["map", { country: "nl", empty: "" }],
		["number", 1420], ["text", "a"], ["lines", []]])
		assert.deepEqual(fromText(kind, toText(kind, value)), value);
	assert.equal(toText("secret", "never shown"), "");
});

test("what is left empty is left out", () => {
	for (const kind of ["number", "text", "secret"])
		assert.equal(fromText(kind, "  "), undefined);
	assert.deepEqual(fromText("lines", " a, b\n\nc "), ["a", "b", "c"]);
	assert.equal(fromText("number", "25-35"), "25-35");
	assert.deepEqual(fromText("map", "a=b=c"), { a: "b=c" });
});

test("a fault is shown at its field", () => {
	for (const [pointer, path] of [["/spec/interface/mtu", "spec.interface.mtu"], ["/spec/interface/addresses/1", "spec.interface.addresses"],
		["/spec/peers/2/endpoint", "spec.peers.2.endpoint"], ["/spec/peers", "spec.peers"], ["/labels/x", "labels"],
		["/spec/nonsense", null], ["", null]])
		assert.equal(pathOfPointer(pointer, TUNNEL), path, pointer);
	assert.equal(pathOfPointer("/spec/probe/target", TUNNEL), "spec.probe.target");
	assert.equal(pathOfPointer("/spec/interface/obfuscation/h1", TUNNEL), "spec.interface.obfuscation.h1");
	assert.equal(pathOfPointer("/spec/rules/0/ports/1", POOL), "spec.rules.0.ports");
	assert.equal(pathOfPointer("/spec/rules/2/members/tunnels/0", POOL), "spec.rules.2.members.tunnels");
});
