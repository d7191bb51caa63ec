/* What the page knows, kept right when replies come in another order than requests went. */

import assert from "node:assert/strict";
import test from "node:test";

import { keep, rows } from "../../../api/page/model.js";

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
