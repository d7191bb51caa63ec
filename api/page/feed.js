/* Keeps the model up to date: the event stream says what changed, and statistics are polled. The stream is read with fetch, because EventSource
 * cannot send a token. */

import { Problem, ask, fetchFrom, headersWith, pages, pathOf } from "./api.js";
import { daemonNow, forgetTimes, takeTime } from "./daemon_clock.js";
import { newestOf, pause, soon } from "./dom.js";
import { changed, expect, forget, keep, pools, rows, state, takeState, takeStats } from "./model.js";
import { note, tell, tellProblem } from "./notice.js";
import { clock } from "./format.js";

const eventListeners = new Set();

export function onEvent(work) {
	eventListeners.add(work);
}

/* ---- lists ---- */

let session = null;   // aborts the loops of the token that is used; what was asked with an earlier one is not shown

async function loadAll() {
	const seen = new Set(), own = session;
	for await (const page of pages("/v1/tunnels?view=full", "tunnels"))
		for (const tunnel of own === session ? page : []) {
			keep(tunnel);
			seen.add(tunnel.id);
		}
	if (own !== session)
		return;
	for (const id of [...rows.keys()])
		if (!seen.has(id))
			forget(id);
	state.isLoaded = true;
	changed();
}

async function readPools() {
	const fresh = [], own = session;
	for await (const page of pages("/v1/pools?view=full", "pools"))
		fresh.push(...page);
	return own === session ? fresh : [];
}

function takePools(fresh) {
	pools.clear();
	fresh.forEach((pool) => pools.set(pool.id, pool));
	changed();
}

export const loadPools = newestOf(readPools, takePools);

/* The states of many members may change at once. */
const loadPoolsSoon = soon(() => loadPools().catch(tellProblem), 1000);

/* Those that events name, a few at a time; when there are many, the whole list, and no sooner than the last one is read. */
const ONE_BY_ONE_MOST = 50;
const stale = new Set();

async function readOne(id) {
	const own = session;
	try {
		const tunnel = await ask("GET", pathOf("tunnels", id));
		if (own === session)
			keep(tunnel);
	} catch (error) {
		if (error.status !== 404)
			throw error;
		forget(id);
	}
}

let isRefreshing = false;
async function refreshStale() {
	if (isRefreshing)
		return;
	isRefreshing = true;
	try {
		while (stale.size > 0) {
			const ids = [...stale];
			stale.clear();
			await (ids.length > ONE_BY_ONE_MOST ? loadAll() : Promise.all(ids.map(readOne)));
		}
	} finally {
		isRefreshing = false;
	}
}
const refreshStaleSoon = soon(() => refreshStale().catch(tellProblem), 150);

function refreshSoon(id) {
	stale.add(id);
	refreshStaleSoon();
}

/* ---- events ---- */

/* What the statistics tell anyway. */
const IN_STATISTICS = new Set(["tunnel.probe", "tunnel.handshake", "tunnel.endpoint", "tunnel.health"]);

function takeEvent(event) {
	if (event.code)
		throw new Error(event.detail);   // the stream ended with a problem
	if (event.pool || event.type === "tunnel.state" || event.type === "tunnel.health")
		loadPoolsSoon();
	if (event.type === "node.state" || event.type.startsWith("fleet."))
		loadFleetSoon();
	if (event.type === "tunnel.created")
		expect(event.tunnel);
	if (event.type === "tunnel.deleted")
		forget(event.tunnel, Date.parse(event.at));
	else if (event.type === "tunnel.state")
		takeState(event);
	else if (event.tunnel && !IN_STATISTICS.has(event.type))
		refreshSoon(event.tunnel);
	if (event.type === "heartbeat")
		takeHeartbeat(event);
	else
		eventListeners.forEach((work) => work(event));
}

function takeHeartbeat({ at }) {
	takeTime(Date.parse(at));
	state.now = daemonNow();
}

/* `none` for a token that may not see it; what was known stays while the daemon does not answer. */
function unlessRefused(known, none) {
	return (error) => (error instanceof Problem && error.status < 500 ? none : known);
}

/* Nothing without a fleet, and for a token that may not see all of it. */
async function readFleet() {
	const info = await ask("GET", "/v1/info").catch(unlessRefused(state.info, null));
	const nodes = info?.fleet ? await ask("GET", "/v1/nodes").then((reply) => reply.nodes, unlessRefused(state.nodes, [])) : [];
	return { info, nodes };
}

function takeFleet({ info, nodes }) {
	Object.assign(state, { info, nodes, self: nodes.find((node) => node.is_self)?.id ?? null });
	changed();
}

export const loadFleet = newestOf(readFleet, takeFleet);

const loadFleetSoon = soon(loadFleet, 300);

/* Of the daemon that was greeted last. `state.info` may be the next one's before that is greeted, because others read it, too. */
let greeted = null;
let pageVersion = null;   // of the daemon that this page came from

/* A daemon that is another process than the one before, or of another version, is told: its page is another, too. */
async function greet() {
	const { info } = await loadFleet();
	if (!info)
		return;
	state.version = info.version;
	state.startedAt = daemonNow() - info.uptime * 1000;
	const lines = [], old = greeted;
	greeted = info;
	pageVersion ??= info.version;
	if (old && old.pid !== info.pid)
		lines.push(`The daemon was restarted at ${clock(state.startedAt)}. Tunnels keep their settings; connections were cut.`);
	if (old && old.version !== info.version && info.version !== pageVersion)
		lines.push(`The daemon is warren ${info.version} now, and this page is of ${pageVersion}. Load the page again.`);
	if (lines.length > 0)
		note(lines);
}

function setLost(isLost) {
	if (!isLost)
		state.lostAt = null;
	else
		state.lostAt ??= Date.now();
	changed();
}

async function* eventsOf(response) {
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	for (;;) {
		const { value, done } = await reader.read();
		if (done)
			return;
		const lines = (rest + value).split("\n");
		rest = lines.pop();
		for (const line of lines.filter(Boolean))
			yield JSON.parse(line);
	}
}

/* What happened before the page was opened, up to the event `last`: all, or the newest 2,000 of a daemon that does not have the first any more. */
const EARLIER_MOST = 2000;
const EARLIER_WAIT = 3000;   // milliseconds: a token that is bound to labels may never see the last event

async function readEarlier(last, signal) {
	const options = { headers: { Accept: "application/x-ndjson" }, signal: AbortSignal.any([signal, AbortSignal.timeout(EARLIER_WAIT)]) };
	const since = (id) => fetchFrom("GET", `/v1/events?since=${id}`, options);
	try {
		const response = await since(0).catch(() => since(last - EARLIER_MOST));
		for await (const event of eventsOf(response)) {
			if (event.type !== "heartbeat")
				eventListeners.forEach((work) => work(event));
			if (event.type !== "heartbeat" && event.id >= last)
				break;
		}
	} catch {
		/* There are none, or no more. */
	}
}

async function readEvents(signal) {
	const response = await fetchFrom("GET", "/v1/events", { headers: { Accept: "application/x-ndjson" }, signal });
	const events = eventsOf(response);
	/* The stream begins with a heartbeat: it is open, so that no change after this read is missed, and it has the daemon's time. */
	const { value: first, done } = await events.next();
	if (done)
		throw new Error("The event stream ended at once.");
	forgetTimes();
	takeEvent(first);
	await greet();
	await Promise.all([loadAll(), loadPools()]);
	state.isLive = true;
	setLost(false);
	tell("");
	readEarlier(first.id, signal);   // those that were missed while the connection was lost, too
	for await (const event of events)
		takeEvent(event);
}

async function follow(signal, onRefused) {
	for (let wait = 1000; !signal.aborted; wait = Math.min(wait * 2, 15000)) {
		const start = Date.now(), reading = new AbortController();
		try {
			await readEvents(AbortSignal.any([signal, reading.signal]));
		} catch (error) {
			if (error instanceof Problem && (error.status === 401 || error.status === 403))
				return onRefused("The token is not valid, or lacks the read scope.");
		} finally {
			reading.abort();   // a stream that is given up is not left open
		}
		if (signal.aborted)
			return undefined;
		state.isLive = false;
		setLost(true);
		if (Date.now() - start > 20000)
			wait = 1000;
		await pause(wait, signal);
	}
	return undefined;
}

/* ---- statistics ---- */

const worker = new Worker("/page/stats_worker.js");
const waiting = new Map();   // number -> resolve
let number = 0;
worker.onmessage = ({ data }) => {
	waiting.get(data.number)?.(data.stats);
	waiting.delete(data.number);
};

function readStats() {
	return new Promise((resolve) => {
		waiting.set(++number, resolve);
		worker.postMessage({ number, path: "/v1/stats", headers: headersWith({}) });
	});
}

async function poll(signal) {
	while (!signal.aborted) {
		if (!document.hidden && state.isLive) {
			const askedAt = performance.now(), stats = await readStats();
			if (stats && !signal.aborted)
				takeStats(stats, askedAt);
		}
		await pause(Math.min(10000, 2000 + rows.size), signal);
	}
}

/* ---- both, for one token ---- */

export function stop() {
	session?.abort();
	session = null;
	state.isLive = false;
}

export async function start(onRefused) {
	stop();
	session = new AbortController();
	const { signal } = session;
	const [caller, version] = await Promise.all([ask("GET", "/v1/whoami"), ask("GET", "/v1/version")]);
	Object.assign(state, { caller, version: version.version, lostAt: null });
	changed();
	follow(signal, onRefused);
	poll(signal);
}
