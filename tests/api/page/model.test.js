/* What the page knows, kept right when replies come in another order than requests went. */

import assert from "node:assert/strict";
import test from "node:test";

import { expect, forget, keep, rows } from "../../../api/page/model.js";

function tunnel(generation, enabled, created = "2026-01-01T00:00:00Z") {
	return { id: "a", created_at: created, generation, labels: {}, origin: "api", spec: { enabled },
		status: { state: "up", reason: "", since: "", peers: [], listen: [], conditions: [], health: { healthy: null, probe: null } } };
}

test("a reply that was overtaken by a newer one is not kept", () => {
	keep(tunnel(2, false));
	keep(tunnel(1, true));
	assert.equal(rows.get("a").enabled, false);
	keep(tunnel(2, false));
	keep(tunnel(3, true));
	assert.equal(rows.get("a").enabled, true);
});

test("a tunnel of the same name that was made later begins anew", () => {
	keep(tunnel(1, false, "2026-01-02T00:00:00Z"));
	assert.equal(rows.get("a").enabled, false);
});

test("a reply from before a tunnel was deleted does not bring it back", () => {
	keep(tunnel(1, true, "2026-01-03T00:00:00Z"));
	forget("a", Date.parse("2026-01-03T00:00:01Z"));
	keep(tunnel(1, true, "2026-01-03T00:00:00Z"));
	assert.equal(rows.has("a"), false);
	keep(tunnel(1, true, "2026-01-03T00:00:02Z"));
	assert.equal(rows.has("a"), true, "one of the same name that was made later is there");
});

test("a tunnel that is made again is shown though the daemon's clock was set back", () => {
	forget("a", Date.parse("2026-01-04T00:00:00Z"));
	expect("a");
	keep(tunnel(1, true, "2026-01-03T12:00:00Z"));
	assert.equal(rows.has("a"), true);
});
