/* What the page knows: a small row for each tunnel, the pools, the totals. Views are told when it changes. */

import { daemonNow } from "./daemon_clock.js";
import { soon } from "./dom.js";
import { searchText } from "./filter.js";

export const rows = new Map();    // id -> row
export const pools = new Map();   // id -> the pool as the API has it
export const state = {
	isLoaded: false,
	totals: { sent: 0, received: 0, open: 0 },
	info: null,        // of /v1/info; null for a token that may not read it
	nodes: [],         // of the fleet, if the daemon is in one
	self: null,        // the id of the node that answers
	version: "",
	startedAt: 0,      // the daemon, in milliseconds; of info
	caller: { name: "", scopes: [], labels: {} },
	isLive: false,     // the event stream is open
	lostAt: null,      // when the connection was lost, in milliseconds
	now: Date.now(),   // of the last numbers, by the daemon's clock; ages are seen from here
};

const listeners = new Set();

export function onChange(work) {
	listeners.add(work);
}

const tellAll = soon(() => listeners.forEach((work) => work()), 100);

export function changed() {
	tellAll();
}

export function can(scope) {
	return state.caller.scopes.includes(scope);
}

/* Whether another node of the fleet runs it: then its state is that node's to tell. */
export function isElsewhere({ status }) {
	return Boolean(status.node) && (state.self === null ? status.worker === null : status.node !== state.self);
}

/* Of a tunnel as the API has it; most of it is not kept, since there may be ten thousand. */
function rowOf(tunnel) {
	const { id, labels, status } = tunnel;
	const ages = status.peers.map((peer) => peer.last_handshake_at).filter(Boolean).map((at) => Date.parse(at));
	const row = {
		id, created_at: tunnel.created_at, generation: tunnel.generation, labels, listen: status.listen, origin: tunnel.origin, enabled: tunnel.spec.enabled,
		state: isElsewhere(tunnel) && tunnel.spec.enabled ? "elsewhere" : status.state, reason: status.reason, node: status.node ?? null,
		since: Date.parse(status.since), conditions: status.conditions.map((condition) => condition.detail), readAt: performance.now(),
		healthy: isElsewhere(tunnel) ? null : status.health.healthy, rtt: status.health.probe?.rtt_ms ?? null, handshake: ages.length ? Math.max(...ages) : null,
		sent: 0, received: 0, open: 0,
	};
	row.search = searchText(row);
	return row;
}

/* When those that were deleted lately were: a reply from before may come after the event that tells so. */
const GONE_MOST = 1000;
const gone = new Map();   // id -> milliseconds

/* A reply may be overtaken by that to a later request. */
export function isOlder(tunnel, than) {
	return tunnel.created_at === than.created_at && tunnel.generation < than.generation;
}

export function keep(tunnel) {
	const old = rows.get(tunnel.id), row = rowOf(tunnel);
	if ((old && isOlder(tunnel, old)) || Date.parse(tunnel.created_at) < gone.get(tunnel.id))
		return;
	if (old)
		Object.assign(row, { sent: old.sent, received: old.received, open: old.open });
	rows.set(tunnel.id, row);
	changed();
}

/* `deletedAt` is in milliseconds, by the daemon's clock, if that is known. */
export function forget(id, deletedAt) {
	rows.delete(id);
	if (deletedAt !== undefined)
		gone.set(id, deletedAt);
	if (gone.size > GONE_MOST)
		gone.delete(gone.keys().next().value);
	changed();
}

/* It is made again, whenever that was. */
export function expect(id) {
	gone.delete(id);
}

/* Of an event: a network that goes and comes changes all at once, and nothing needs to be read for it. */
export function takeState({ tunnel, at, state: tunnelState, reason }) {
	const row = rows.get(tunnel);
	if (!row)
		return;
	/* Each try to heal a tunnel is told, too: it is stale since the first. */
	const since = row.state === tunnelState ? row.since : Date.parse(at);
	Object.assign(row, { state: tunnelState, reason, since, readAt: performance.now() });
	if (tunnelState !== "up")
		row.healthy = false;
	changed();
}

/* As stats_worker.js makes them. The state is from whichever is newer, the statistics or the last reply about the tunnel. */
export function takeStats({ tunnels, totals }, askedAt) {
	for (const [id, tunnelState, healthy, rtt, sent, received, handshake, open] of tunnels) {
		const row = rows.get(id);
		if (!row)
			continue;
		Object.assign(row, { sent, received, open, handshake, rtt });
		if (askedAt > row.readAt)
			Object.assign(row, { state: tunnelState, healthy });
	}
	if (totals)
		state.totals = totals;
	state.now = daemonNow();
	changed();
}

export function membersOfPools() {
	return new Map([...pools].map(([id, pool]) => [id, new Set(pool.status.members.map((member) => member.tunnel))]));
}
