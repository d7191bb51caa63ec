/* One tunnel, in a drawer with an address of its own: what it carries, with whom, what happened, and what can be done with it. */

import { ask, askJson, patch, pathOf } from "./api.js";
import { makeChart, pointsOf } from "./chart.js";
import { connectionLine, CONNECTION_HEADS } from "./connections.js";
import { $, button, copyButton, element, fill, headsOf, pause, setText, viewOf } from "./dom.js";
import { edit } from "./edit.js";
import { describeEvent, eventsOf } from "./events.js";
import { exportTunnel } from "./export.js";
import { problemOf } from "./filter.js";
import { ago, amount, duration, labelTexts, milliseconds, moment, plural, rate, size } from "./format.js";
import { linkTo } from "./nodes.js";
import { can, forget, isElsewhere, isOlder, keep, onChange, rows, state } from "./model.js";
import { attempt, confirm, note, noteWarnings } from "./notice.js";

const CONNECTIONS_MOST = 200;

let shown = null;   // { id, tunnel, stats, charts, timer, signal }

/* ---- what can be done ---- */

function setEnabled(enabled) {
	return attempt(async () => {
		const tunnel = await patch(pathOf("tunnels", shown.id), { spec: { enabled } });
		noteWarnings(tunnel);
		take(tunnel);
	});
}

function reconnect() {
	return attempt(async () => {
		await ask("POST", pathOf("tunnels", shown.id, "/actions/reconnect"));
		setText($("detail-probe"), "A new handshake was begun.");
	});
}

async function probe() {
	const { id, tunnel } = shown, output = $("detail-probe"), own = tunnel.spec.probe;
	const target = own ? null : tunnel.spec.interface.dns[0];
	if (!own && !target)
		return setText(output, "The tunnel has no probe and no DNS server that could be pinged. Give it a probe: Edit, Probe.");
	setText(output, "Probing …");
	const result = await attempt(() => (own ? ask("POST", pathOf("tunnels", id, "/actions/probe"))
		: askJson("POST", pathOf("tunnels", id, "/actions/probe"), { type: "ping", target, count: 3 })));
	if (!result)
		return setText(output, "");
	const answers = `${result.received} of ${result.sent} answers, ${milliseconds(result.rtt_ms?.avg)} on average`;
	const answer = result.ok ? answers : `failed: ${result.detail || "no answer"}`;
	return setText(output, `${result.type} ${result.target}: ${answer}${result.exit_ip ? `, exit ${result.exit_ip}` : ""}`);
}

async function remove() {
	const { id } = shown;
	const text = "Its connections are closed and its keys are wiped. This cannot be undone.";
	const yes = await confirm({ title: `Delete ${id}?`, text, yes: "Delete" });
	if (!yes)
		return;
	await attempt(async () => {
		await ask("DELETE", pathOf("tunnels", id));
		forget(id);
		location.hash = "#/";
	});
}

async function openEditor() {
	edit("tunnels", await ask("GET", pathOf("tunnels", shown.id)), take);
}

function actions() {
	const { id, tunnel } = shown, isOurs = tunnel.origin !== "file", list = [];
	if (can("write")) {
		const other = tunnel.spec.enabled ? "Disable" : "Enable";
		if (isOurs)
			list.push(button(other, () => setEnabled(!shown.tunnel.spec.enabled), { "aria-label": `${other} ${id}` }));
		if (!isElsewhere(tunnel))
			list.push(button("Reconnect", reconnect, { "aria-label": `Reconnect ${id}`, disabled: !tunnel.spec.enabled }),
				button("Probe now", probe, { disabled: !tunnel.spec.enabled }));
	}
	if (can("write") && isOurs)
		list.push(button("Edit", () => attempt(openEditor), { "aria-label": `Edit ${id}` }));
	if (can("admin"))
		list.push(button("Export", () => exportTunnel(id), { "aria-label": `Export ${id}` }));
	if (can("write") && isOurs)
		list.push(button("Delete", remove, { class: "danger", "aria-label": `Delete ${id}` }));
	return list;
}

/* ---- what is shown ---- */

function describeProbe({ type, target, ok, rtt_ms: rtt, detail, failures_in_a_row: failures }) {
	return `${type} ${target}: ${ok ? milliseconds(rtt) : detail || "failed"}${failures > 1 ? `, ${failures} failures in a row` : ""}`;
}

function facts() {
	const { tunnel, stats } = shown, { spec, status } = tunnel, health = (stats || status).health || status.health, list = [];
	const add = (name, ...value) => list.push(element("dt", {}, name), element("dd", {}, ...value));
	const addCopied = (name, text) => add(name, element("span", { class: "mono" }, text), " ", copyButton(text));
	status.listen.forEach((address) => addCopied("Proxy", address));
	status.forwards.forEach((forward) => addCopied(`Forward ${forward.name}`, forward.listen));
	add("Addresses inside", spec.interface.addresses.join(", "));
	if (spec.interface.dns.length)
		add("DNS servers", spec.interface.dns.join(", "));
	if (health.probe)
		add("Probe", describeProbe(health.probe));
	if (health.exit_ip)
		add("Exit address", element("span", { class: "mono" }, health.exit_ip));
	if (status.public_key)
		addCopied("Public key", status.public_key);
	if (spec.interface.via)
		add("Via", `${spec.interface.via}; packets of up to ${status.mtu} bytes fit inside`);
	if (spec.interface.obfuscation) {
		const { type, ...parameters } = spec.interface.obfuscation;
		add("Obfuscation", [type, ...Object.entries(parameters).map((parameter) => parameter.join(" "))].join(", "));
	}
	if (stats?.dropped && spec.interface.obfuscation)
		add("Not recognized", `${plural(stats.dropped.unrecognized, "datagram")}: junk, or sent with other parameters`);
	if (stats) {
		add("Payload", `${size(stats.bytes_received)} received, ${size(stats.bytes_sent)} sent`);
		add("On the wire", `${size(stats.wire_bytes_received)} received, ${size(stats.wire_bytes_sent)} sent`);
		add("Connections", `${plural(stats.connections_open, "connection")} open, ${amount(stats.connections_total)} in all`);
		if (spec.limits.total_bytes)
			add("Quota", `${size(stats.bytes_used)} of ${size(spec.limits.total_bytes)}`);
	}
	if (spec.expires_at)
		add("Ends at", moment(spec.expires_at));
	const created = `the API, created ${moment(tunnel.created_at)}`;
	add("Origin", tunnel.origin === "file" ? "a file of the tunnels directory, which alone changes it" : created);
	return list;
}

function peers() {
	const { tunnel, stats } = shown, byKey = new Map((stats?.peers || tunnel.status.peers).map((peer) => [peer.public_key, peer]));
	return tunnel.spec.peers.map((peer) => {
		const now = byKey.get(peer.public_key) || {}, at = now.last_handshake_at ? Date.parse(now.last_handshake_at) : null;
		const allowed = `allowed: ${(peer.allowed_ips || []).join(", ") || "nothing"}`;
		const reserved = peer.reserved ? ` · reserved ${peer.reserved.join(", ")}` : "";
		return element("li", {}, element("p", { class: "mono" }, peer.public_key),
			element("p", { class: "dim" }, `${now.endpoint || peer.endpoint || "no endpoint"} · handshake ${ago(at, state.now)}`),
			element("p", { class: "dim" }, `on the wire: ${size(now.wire_bytes_received || 0)} received, ${size(now.wire_bytes_sent || 0)} sent · ${allowed}${reserved}`));
	});
}

/* Of a tunnel whose peers have never answered, though their addresses are known. */
function adviceOf(now) {
	const list = shown.stats?.peers ?? [];
	const isUnheard = list.length > 0 && list.every((peer) => peer.endpoint && peer.wire_bytes_received === 0);
	if (now !== "stale" || !isUnheard)
		return "";
	return "Nothing has come back yet. Compare the public key below with the one that the provider has for you, and the peer's key and endpoint "
		+ "with its file. UDP may be blocked on the way: try another port of the provider.";
}

function updateHead() {
	const { id, tunnel } = shown, row = rows.get(id);
	const now = row?.state ?? tunnel.status.state, known = row ? row.healthy : tunnel.status.health.healthy;
	const healthy = now === "disabled" ? null : known;
	setText($("detail-title"), id);
	setText($("detail-state"), now === "elsewhere" ? `on ${row.node}` : now);
	$("detail-state").className = `chip ${now}`;
	setText($("detail-health"), healthy === null ? "" : healthy ? "healthy" : "unhealthy");
	$("detail-health").className = healthy ? "good" : row && problemOf(row) === null ? "dim" : "bad";
	const since = Date.parse(tunnel.status.since);
	setText($("detail-since"), Number.isNaN(since) ? "" : `for ${duration((state.now - since) / 1000)}`);
	const conditions = tunnel.status.conditions.map((condition) => condition.detail);
	const reasons = [tunnel.status.reason, ...conditions, adviceOf(now)].filter(Boolean);
	fill($("detail-reasons"), reasons.join("\n"), () => reasons.map((reason) => element("li", {}, reason)));
	const labels = labelTexts(tunnel.labels);
	fill($("detail-labels"), labels.join("\n"), () => labels.map((label) => element("span", {}, label)));
	fill($("detail-actions"), JSON.stringify([id, tunnel.spec.enabled, tunnel.origin, state.caller.scopes, isElsewhere(tunnel)]), actions);
}

/* What is live of another node's tunnel is told on that node's page. */
function updateElsewhere() {
	const { tunnel } = shown, isThere = isElsewhere(tunnel), node = state.nodes.find(({ id }) => id === tunnel.status.node);
	for (const part of ["detail-charts", "detail-live"])
		$(part).hidden = isThere;
	$("detail-elsewhere").hidden = !isThere;
	if (isThere)
		fill($("detail-elsewhere"), JSON.stringify([tunnel.status.node, node?.api]), () => [
			`The node ${tunnel.status.node} runs it, and tells its state, statistics and connections. `, linkTo(node, "Open the page of that node") ?? ""]);
}

function update() {
	if (!shown?.tunnel)
		return;
	updateHead();
	updateElsewhere();
	const { tunnel, stats } = shown;
	const { health, bytes_received: received, bytes_sent: sent, connections_open: connections, wire_bytes_received: wire } = stats || {};
	fill($("detail-facts"), JSON.stringify([tunnel, health, received, sent, connections, wire]), facts);
	fill($("detail-peers"), JSON.stringify([tunnel.etag, stats?.peers]), peers);
	const events = eventsOf(shown.id);
	fill($("detail-events"), `${events[0]?.id} ${events.length}`, () => events.slice(0, 50).map((event) => describeEvent(event, false)));
	$("detail-events-none").hidden = events.length > 0;
}

/* ---- reading ---- */

function take(tunnel) {
	keep(tunnel);
	if (shown?.id === tunnel.id)
		shown.tunnel = tunnel;
	update();
}

async function readConnections(own) {
	const { connections: list, incomplete } = await ask("GET", pathOf("tunnels", own.id, `/connections?page_size=${CONNECTIONS_MOST}`));
	if (own !== shown)
		return;
	$("detail-connections-incomplete").hidden = !incomplete;
	$("detail-connections-none").hidden = list.length > 0;
	$("detail-connections").hidden = list.length === 0;
	fill($("detail-connection-heads"), "once", () => headsOf(CONNECTION_HEADS.slice(1)));
	fill($("detail-connection-lines"), JSON.stringify(list), () => list.map((one) => connectionLine(one, false)));
}

async function readHistory(own) {
	const history = await ask("GET", pathOf("tunnels", own.id, "/history"));
	if (own !== shown)
		return;
	own.charts.rates.update(pointsOf(history, "throughput_received", "throughput_sent"));
	own.charts.open.update(pointsOf(history, "connections_open"));
	own.charts.rtt.update(pointsOf(history, "rtt_ms"));
}

/* Every two seconds; the history has a new point every ten. */
async function read(own, count) {
	const row = rows.get(own.id);
	if (!own.tunnel || (row && row.readAt > own.readAt)) {
		own.readAt = performance.now();
		const tunnel = await ask("GET", pathOf("tunnels", own.id));
		if (!own.tunnel || !isOlder(tunnel, own.tunnel))
			own.tunnel = tunnel;
	}
	if (isElsewhere(own.tunnel)) {
		own.stats = null;
		return own === shown ? update() : undefined;
	}
	own.stats = await ask("GET", pathOf("tunnels", own.id, "/stats"));
	await readConnections(own);
	if (count % 5 === 0)
		await readHistory(own);
	return own === shown ? update() : undefined;
}

async function follow(own) {
	for (let count = 0; own === shown; count++) {
		try {
			if (count === 0 || (!document.hidden && state.isLive))
				await read(own, count);
		} catch (error) {
			if (own === shown && error.status === 404) {
				note([`There is no tunnel ${own.id}.`]);
				location.hash = "#/";
			}
		}
		await pause(2000);
	}
}

export function open(id) {
	if (shown?.id === id)
		return;
	close();
	const charts = {
		rates: makeChart("Payload per second", [{ label: "received", colour: "received" }, { label: "sent", colour: "sent" }], rate, true),
		open: makeChart("Open connections", [{ label: "open", colour: "received" }], (value) => String(Math.round(value)), true),
		rtt: makeChart("Round trip", [{ label: "round trip", colour: "sent" }], milliseconds),
	};
	shown = { id, tunnel: null, stats: null, charts, readAt: 0 };
	for (const part of ["facts", "peers", "events", "reasons", "labels", "actions", "connection-lines"])
		fill($(`detail-${part}`), `of ${id}`, () => []);
	for (const place of ["detail-state", "detail-health", "detail-since", "detail-probe"])
		setText($(place), "");
	setText($("detail-title"), id);
	$("detail-charts").replaceChildren(...Object.values(charts).map((chart) => chart.root));
	$("detail").hidden = false;
	document.body.classList.add("has-detail");
	$("detail").scrollTop = 0;
	$("detail-title").focus();
	follow(shown);
}

export function close() {
	if (!shown)
		return;
	const { id, charts } = shown;
	shown = null;
	Object.values(charts).forEach((chart) => chart.destroy());
	$("detail").hidden = true;
	document.body.classList.remove("has-detail");
	const link = document.querySelector(`#lines a[href="${viewOf("tunnels", id)}"]`);
	(rows.has(id) && link ? link : $("tunnels-title")).focus({ preventScroll: true });
}

export function init() {
	onChange(update);
	$("detail-close").addEventListener("click", () => { location.hash = "#/"; });
	addEventListener("keydown", (event) => {
		if (event.key === "Escape" && shown && !document.querySelector("dialog[open]"))
			location.hash = "#/";
	});
}
