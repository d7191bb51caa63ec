/* Numbers and times as people read them. */

import assert from "node:assert/strict";
import test from "node:test";

import { ago, duration, milliseconds, plural, rate, size, timeOfDay, webAddress } from "../../../api/page/format.js";

test("numbers have a unit that fits", () => {
	for (const [bits, text] of [[0, "0 bit/s"], [999, "999 bit/s"], [1000, "1.0 kbit/s"], [999960, "1.0 Mbit/s"], [8.2e9, "8.2 Gbit/s"],
		[4e15, "4000.0 Tbit/s"]])
		assert.equal(rate(bits), text);
	assert.equal(size(52428800), "52.4 MB");
	assert.equal(milliseconds(null), "–");
	assert.equal(milliseconds(1.26), "1.3 ms");
	assert.equal(milliseconds(123.4), "123 ms");
});

test("times are rounded as people do", () => {
	assert.equal(ago(null, 0), "never");
	assert.equal(ago(0, 5000), "5 s ago");
	assert.equal(ago(9000, 5000), "0 s ago");
	assert.equal(duration(3600), "60 min");
	assert.equal(duration(86400), "24 h");
	assert.equal(duration(10 * 86400), "10 days");
	assert.equal(plural(1, "tunnel"), "1 tunnel");
	assert.equal(plural(10000, "tunnel"), "10,000 tunnels");
});

test("only an address of the web becomes a link", () => {
	for (const text of ["https://node-1.example:8470", "http://192.0.2.1:8470/", "HTTPS://[2001:db8::1]/"])
		assert.equal(webAddress(text), text);
	for (const text of ["java" + "script:alert(1)", " Java" + "Script:alert(1)", "java\tscript:alert(1)", "data:text/html,<script>", "file:///etc/passwd",
		"blob:https://x/y", "ftp://x/", "//evil.example/", "/v1/tunnels", "node-1:8470", "", null, undefined, {}])
		assert.equal(webAddress(text), null, String(text));
});

test("an event of another day has its day", () => {
	const at = new Date(2026, 0, 2, 3, 4, 5);
	assert.equal(timeOfDay(at, new Date(2026, 0, 2, 23, 0, 0)), at.toLocaleTimeString());
	assert.equal(timeOfDay(at, new Date(2026, 0, 3, 1, 0, 0)), at.toLocaleString());
});
