/* How long a token is kept. */

import assert from "node:assert/strict";
import test from "node:test";

import { forgetToken, keepToken, replaceToken, token } from "../../../api/page/session.js";

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
