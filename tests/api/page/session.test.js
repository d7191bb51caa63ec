/* How long a token is kept. */

import assert from "node:assert/strict";
import test from "node:test";

import { forgetToken, keepToken, onOtherTab, replaceToken, token } from "../../../api/page/session.js";

class FakeStorage extends Map {
	getItem(key) { return this.get(key) ?? null; }
	setItem(key, value) { this.set(key, value); }
	removeItem(key) { this.delete(key); }
}

for (const isLasting of [false, true])
	test(`a token that is replaced ${isLasting ? "stays on the device" : "stays with the tab"}`, () => {
		Object.assign(globalThis, { sessionStorage: new FakeStorage(), localStorage: new FakeStorage() });
		keepToken("old", isLasting);
		replaceToken("new");
		assert.equal(token(), "new");
		assert.equal(localStorage.size, isLasting ? 1 : 0);
		assert.equal(sessionStorage.size, isLasting ? 0 : 1);
		forgetToken();
		assert.equal(token(), null);
	});

test("a token that is for this tab leaves the others' alone", () => {
	Object.assign(globalThis, { sessionStorage: new FakeStorage(), localStorage: new FakeStorage() });
	keepToken("kept", true);
	keepToken("of the tab", false);
	assert.deepEqual([token(), localStorage.getItem("warren-token")], ["of the tab", "kept"]);
	replaceToken("newer");
	assert.deepEqual([token(), localStorage.getItem("warren-token")], ["newer", "kept"]);
	keepToken("for all", true);
	assert.deepEqual([token(), sessionStorage.size], ["for all", 0]);
});

test("what another tab does to the token counts where this tab has none of its own", () => {
	Object.assign(globalThis, { sessionStorage: new FakeStorage(), localStorage: new FakeStorage() });
	let change = null, count = 0;
	globalThis.addEventListener = (type, work) => { change = work; };
	onOtherTab(() => { count++; });
	change({ key: "another", storageArea: localStorage });
	change({ key: "warren-token", storageArea: sessionStorage });
	assert.equal(count, 0);
	change({ key: "warren-token", storageArea: localStorage });
	change({ key: null, storageArea: localStorage });
	assert.equal(count, 2, "it was set or removed, or all was");
	keepToken("own", false);
	change({ key: "warren-token", storageArea: localStorage });
	assert.equal(count, 2);
});
