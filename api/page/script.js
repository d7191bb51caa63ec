/* The web page, built on the REST API. Everything shown is set as text, never as markup. The event stream keeps the list up to date; it
 * is read with fetch because EventSource cannot send a token. */
"use strict";

const SHOWN_MAX = 200;          // cards; the filter reaches the rest
const POINTS = 60;              // per graph
const TOKEN_KEY = "warren-token";

const $ = (id) => document.getElementById(id);
const tunnels = new Map();      // id -> the tunnel as the API has it
const cards = new Map();        // id -> the card's elements that change
const histories = new Map();    // id -> { sent: [], received: [] }
const readAt = new Map();       // id -> time of the last read
let stats = new Map();
let isLoaded = false;

/* ---- the API ---- */

class Problem extends Error {
	constructor(status, body) {
		super(body.detail || body.title || `HTTP ${status}`);
		this.status = status;
		this.faults = body.errors || [];
	}
}

function headersWith(more) {
	const token = sessionStorage.getItem(TOKEN_KEY);
	return token ? { ...more, Authorization: `Bearer ${token}` } : { ...more };
}

async function ask(method, path, { type, body, signal } = {}) {
	const headers = headersWith(type ? { "Content-Type": type } : {});
	const response = await fetch(path, { method, headers, body, signal, cache: "no-store" });
	if (response.status === 204)
		return null;
	const answer = await response.json().catch(() => ({}));
	if (!response.ok)
		throw new Problem(response.status, answer);
	return answer;
}

/* ---- small helpers ---- */

function element(tag, attributes = {}, ...children) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (name.startsWith("on"))
			node.addEventListener(name.slice(2), value);
		else if (value !== undefined)
			node.setAttribute(name, value);
	}
	node.append(...children);
	return node;
}

function setText(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

function rate(bits) {
	const units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];
	let at = 0;
	for (; bits >= 1000 && at < units.length - 1; at++)
		bits /= 1000;
	return `${at === 0 ? Math.round(bits) : bits.toFixed(1)} ${units[at]}`;
}

function size(bytes) {
	const units = ["B", "kB", "MB", "GB", "TB"];
	let at = 0;
	for (; bytes >= 1000 && at < units.length - 1; at++)
		bytes /= 1000;
	return `${at === 0 ? bytes : bytes.toFixed(1)} ${units[at]}`;
}

function age(seconds) {
	if (seconds === null || seconds === undefined)
		return "never";
	if (seconds < 90)
		return `${Math.round(seconds)} s ago`;
	if (seconds < 5400)
		return `${Math.round(seconds / 60)} min ago`;
	return seconds < 129600 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
}

function tell(text) {
	$("message").hidden = !text;
	setText($("message"), text || "");
}

/* Shows warnings. */
function note(lines) {
	$("note").hidden = lines.length === 0;
	$("note-lines").replaceChildren(...lines.map((line) => element("li", {}, line)));
}

function tellProblem(error) {
	if (error.status === 401)
		signIn("The token is not valid.");
	else if (error.name !== "AbortError")
		tell(error.message);
}

/* ---- cards ---- */

function makeGraph() {
	const space = "http://www.w3.org/2000/svg";
	const svg = document.createElementNS(space, "svg");
	svg.setAttribute("class", "graph");
	svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 100`);
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("aria-hidden", "true");
	const lines = {};
	for (const name of ["sent", "received"]) {
		lines[name] = document.createElementNS(space, "polygon");
		lines[name].setAttribute("class", name);
		svg.append(lines[name]);
	}
	return { svg, lines };
}

function makeCard(id) {
	const graph = makeGraph();
	const card = {
		state: element("span", { class: "chip" }),
		reason: element("p", { class: "reason" }),
		labels: element("p", { class: "labels" }),
		addresses: element("div"),
		sent: element("span", { class: "sent" }),
		received: element("span", { class: "received" }),
		numbers: element("p", { class: "dim" }),
		peers: element("div"),
		peersTitle: element("summary"),
		graph,
	};
	card.enable = element("button", { type: "button", onclick: () => enable(id) });
	card.reconnect = element("button", { type: "button", onclick: () => reconnect(id) }, "Reconnect");
	const remove = element("button", { type: "button", class: "danger", onclick: () => askDelete(id) }, "Delete");
	for (const [button, what] of [[card.reconnect, "Reconnect"], [remove, "Delete"]])
		button.setAttribute("aria-label", `${what} ${id}`);
	card.root = element("li", {},
		element("div", { class: "title" }, element("h3", {}, id), card.state),
		card.reason, card.labels, card.addresses, graph.svg,
		element("div", { class: "rates" }, card.sent, card.received),
		card.numbers,
		element("details", {}, card.peersTitle, card.peers),
		element("div", { class: "actions" }, card.enable, card.reconnect, remove));
	return card;
}

function copyButton(text) {
	const button = element("button", { type: "button", class: "small", "aria-label": `Copy ${text}` }, "Copy");
	button.addEventListener("click", async () => {
		try {
			await navigator.clipboard.writeText(text);
			setText(button, "Copied");
		} catch {
			setText(button, "Failed");
		}
		setTimeout(() => setText(button, "Copy"), 1500);
	});
	return button;
}

function updateLabels(card, labels) {
	card.labels.hidden = labels.length === 0;
	if (card.labels.textContent !== labels.join(""))
		card.labels.replaceChildren(...labels.map((label) => element("span", {}, label)));
}

/* Rebuilt only when they differ, so that a button keeps its focus. */
function updateAddresses(card, listen) {
	const written = listen.join(" ");
	if (card.written === written)
		return;
	card.written = written;
	card.addresses.replaceChildren(...listen.map((address) =>
		element("div", { class: "address" }, element("code", {}, address), copyButton(address))));
}

function updatePeers(card, tunnel, live) {
	const configured = tunnel.spec.peers || [];
	setText(card.peersTitle, `${configured.length} peer${configured.length === 1 ? "" : "s"}`);
	const byKey = new Map((live || tunnel.status.peers).map((peer) => [peer.public_key, peer]));
	card.peers.replaceChildren(...configured.map((peer) => {
		const now = byKey.get(peer.public_key) || {};
		return element("div", { class: "peer" },
			element("p", { class: "mono" }, peer.public_key),
			element("p", { class: "dim" }, `${now.endpoint || peer.endpoint || "no endpoint"} · handshake ${age(now.last_handshake_age)}`),
			element("p", { class: "dim" }, `${size(now.bytes_sent || 0)} sent, ${size(now.bytes_received || 0)} received`),
			element("p", { class: "dim" }, (peer.allowed_ips || []).join(", ")));
	}));
}

function updateGraph(card, id) {
	const history = histories.get(id) || { sent: [], received: [] };
	const top = Math.max(1000, ...history.sent, ...history.received);
	for (const name of ["sent", "received"]) {
		const values = history[name];
		const start = POINTS - values.length;
		const line = values.map((value, i) => `${start + i},${98 - 96 * value / top}`);
		card.graph.lines[name].setAttribute("points", line.length ? `${line.join(" ")} ${POINTS - 1},101 ${start},101` : "");
	}
}

/* The state from whichever is newer: the last reply about the tunnel, or the statistics. */
function stateOf(id) {
	const numbers = stats.get(id);
	return numbers && numbers.at > (readAt.get(id) || 0) ? numbers.state : tunnels.get(id).status.state;
}

function updateCard(id) {
	const tunnel = tunnels.get(id);
	const card = cards.get(id);
	if (!tunnel || !card)
		return;
	const numbers = stats.get(id);
	const state = stateOf(id);
	setText(card.state, state);
	card.state.className = `chip ${state}`;
	const conditions = tunnel.status.conditions.map((condition) => condition.detail);
	setText(card.reason, [tunnel.status.reason, ...conditions].filter(Boolean).join(" · "));
	card.reason.hidden = !card.reason.textContent;
	updateLabels(card, Object.entries(tunnel.labels).map(([key, value]) => `${key}=${value}`));
	updateAddresses(card, tunnel.status.listen);
	setText(card.sent, `↑ ${rate(numbers ? numbers.throughput_sent : 0)} · ${size(numbers ? numbers.bytes_sent : 0)}`);
	setText(card.received, `↓ ${rate(numbers ? numbers.throughput_received : 0)} · ${size(numbers ? numbers.bytes_received : 0)}`);
	const ages = (numbers ? numbers.peers : tunnel.status.peers).map((peer) => peer.last_handshake_age).filter((value) => value !== null);
	const open = numbers ? `${numbers.connections_open} open of ${numbers.connections_total}` : "";
	setText(card.numbers, `handshake ${age(ages.length ? Math.min(...ages) : null)}${open ? ` · connections: ${open}` : ""}`);
	setText(card.enable, tunnel.spec.enabled ? "Disable" : "Enable");
	card.enable.setAttribute("aria-label", `${card.enable.textContent} ${id}`);
	card.reconnect.disabled = !tunnel.spec.enabled;
	updatePeers(card, tunnel, numbers && numbers.peers);
	updateGraph(card, id);
}

function isWanted(tunnel, words) {
	const text = [tunnel.id, tunnel.status.state, ...tunnel.status.listen, ...Object.entries(tunnel.labels).map((label) => label.join("="))].join(" ");
	return words.every((word) => text.includes(word));
}

/* Adds and removes cards; they are ordered by id. */
function render() {
	const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
	const wanted = [...tunnels.values()].filter((tunnel) => isWanted(tunnel, words)).sort((a, b) => (a.id < b.id ? -1 : 1));
	const shown = wanted.slice(0, SHOWN_MAX);
	const ids = new Set(shown.map((tunnel) => tunnel.id));
	for (const [id, card] of cards)
		if (!ids.has(id)) {
			card.root.remove();
			cards.delete(id);
		}
	shown.forEach(({ id }, place) => {
		if (!cards.has(id))
			cards.set(id, makeCard(id));
		const root = cards.get(id).root;
		if ($("tunnels").children[place] !== root)
			$("tunnels").insertBefore(root, $("tunnels").children[place] || null);
		updateCard(id);
	});
	summarise();
	$("empty").hidden = tunnels.size > 0 || !isLoaded;
	$("none").hidden = wanted.length > 0 || tunnels.size === 0;
	$("rest").hidden = wanted.length <= SHOWN_MAX;
	setText($("rest"), `${wanted.length - SHOWN_MAX} more. Use Find to narrow the list.`);
}

function summarise() {
	const up = [...tunnels.keys()].filter((id) => stateOf(id) === "up").length;
	setText($("summary"), tunnels.size ? `${up} of ${tunnels.size} up` : "");
	document.title = tunnels.size ? `${up}/${tunnels.size} up · warren` : "warren";
}

let renderTimer = 0;
function renderSoon() {
	if (!renderTimer)
		renderTimer = setTimeout(() => { renderTimer = 0; render(); }, 100);
}

/* ---- updates ---- */

async function loadAll() {
	const seen = new Set();
	let token = "";
	do {
		const page = await ask("GET", `/v1/tunnels?view=full&page_size=1000${token ? `&page_token=${token}` : ""}`);
		for (const tunnel of page.tunnels) {
			keep(tunnel);
			seen.add(tunnel.id);
		}
		token = page.next_page_token;
	} while (token);
	for (const id of [...tunnels.keys()])
		if (!seen.has(id))
			forget(id);
	isLoaded = true;
	$("create").open ||= tunnels.size === 0;
	render();
}

function keep(tunnel) {
	tunnels.set(tunnel.id, tunnel);
	readAt.set(tunnel.id, performance.now());
}

function forget(id) {
	tunnels.delete(id);
	readAt.delete(id);
	histories.delete(id);
	stats.delete(id);
}

const stale = new Set();
async function refreshStale() {
	const ids = [...stale];
	stale.clear();
	if (ids.length > 20)
		return loadAll();
	await Promise.all(ids.map(async (id) => {
		try {
			keep(await ask("GET", `/v1/tunnels/${encodeURIComponent(id)}`));
		} catch (error) {
			if (error.status !== 404)
				throw error;
			forget(id);
		}
	}));
	renderSoon();
}

let refreshTimer = 0;
function refreshSoon(id) {
	stale.add(id);
	if (!refreshTimer)
		refreshTimer = setTimeout(() => { refreshTimer = 0; refreshStale().catch(tellProblem); }, 150);
}

function onEvent(event) {
	if (event.code)
		throw new Error(event.detail);   // the stream ended with a problem
	if (event.type === "tunnel.deleted") {
		forget(event.tunnel);
		renderSoon();
	} else if (event.tunnel) {
		refreshSoon(event.tunnel);
	}
}

function setLink(text, kind) {
	setText($("link"), text);
	$("link").className = `chip ${kind}`;
}

async function readEvents(signal) {
	const response = await fetch("/v1/events", { headers: headersWith({ Accept: "application/x-ndjson" }), signal, cache: "no-store" });
	if (!response.ok)
		throw new Problem(response.status, await response.json().catch(() => ({})));
	/* The stream is open, so that no change after this read is missed. */
	await loadAll();
	setLink("live", "live");
	tell("");
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	for (;;) {
		const { value, done } = await reader.read();
		if (done)
			return;
		const lines = (rest + value).split("\n");
		rest = lines.pop();
		lines.filter(Boolean).forEach((line) => onEvent(JSON.parse(line)));
	}
}

let session = null;   // aborts the loops of the previous token
function pause(milliseconds, signal) {
	return new Promise((resolve) => {
		const timer = setTimeout(resolve, milliseconds);
		signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
	});
}

async function follow(signal) {
	for (let wait = 1000; !signal.aborted; wait = Math.min(wait * 2, 15000)) {
		const start = Date.now();
		try {
			await readEvents(signal);
		} catch (error) {
			if (error.status === 401 || error.status === 403)
				return signIn("The token is not valid, or lacks the read scope.");
		}
		if (signal.aborted)
			return;
		setLink("connection lost", "lost");
		if (Date.now() - start > 20000)
			wait = 1000;
		await pause(wait, signal);
	}
}

function record(id, numbers) {
	if (!histories.has(id))
		histories.set(id, { sent: [], received: [] });
	for (const name of ["sent", "received"]) {
		const values = histories.get(id)[name];
		values.push(numbers[`throughput_${name}`]);
		if (values.length > POINTS)
			values.shift();
	}
}

async function poll(signal) {
	while (!signal.aborted) {
		if (!document.hidden && tunnels.size > 0) {
			try {
				const asked = performance.now();
				const answer = await ask("GET", "/v1/stats", { signal });
				stats = new Map(answer.tunnels.map((numbers) => [numbers.id, { ...numbers, at: asked }]));
				stats.forEach((numbers, id) => record(id, numbers));
				cards.forEach((card, id) => updateCard(id));
				summarise();
			} catch {
				/* The event stream reports a lost connection. */
			}
		}
		await pause(tunnels.size > 500 ? 10000 : 2000, signal);
	}
}

async function start() {
	if (session)
		session.abort();
	session = new AbortController();
	const version = await ask("GET", "/v1/version");
	setText($("version"), `warren ${version.version}`);
	$("sign-out").hidden = !sessionStorage.getItem(TOKEN_KEY);
	$("sign-in").hidden = true;
	follow(session.signal);
	poll(session.signal);
}

/* ---- user actions ---- */

function signIn(why) {
	if (session)
		session.abort();
	setLink("no token", "lost");
	$("sign-in").hidden = false;
	$("sign-out").hidden = true;
	setText($("token-message"), sessionStorage.getItem(TOKEN_KEY) ? why : "");
	if (!$("token-dialog").open)
		$("token-dialog").showModal();
}

async function enable(id) {
	const enabled = !tunnels.get(id).spec.enabled;
	try {
		keep(await ask("PATCH", `/v1/tunnels/${encodeURIComponent(id)}`,
			{ type: "application/merge-patch+json", body: JSON.stringify({ spec: { enabled } }) }));
		tell("");
		render();
	} catch (error) {
		tellProblem(error);
	}
}

async function reconnect(id) {
	try {
		await ask("POST", `/v1/tunnels/${encodeURIComponent(id)}/actions/reconnect`);
		tell("");
		refreshSoon(id);
	} catch (error) {
		tellProblem(error);
	}
}

function askDelete(id) {
	const dialog = $("delete-dialog");
	setText($("delete-name"), id);
	dialog.returnValue = "keep";
	dialog.onclose = async () => {
		if (dialog.returnValue !== "delete")
			return;
		try {
			await ask("DELETE", `/v1/tunnels/${encodeURIComponent(id)}`);
			forget(id);
			tell("");
			render();
			$("tunnels-title").focus();
		} catch (error) {
			tellProblem(error);
		}
	};
	dialog.showModal();
}

async function create(event) {
	event.preventDefault();
	const query = new URLSearchParams();
	if ($("new-id").value)
		query.set("id", $("new-id").value);
	if ($("new-listen").value)
		query.set("listen", $("new-listen").value);
	$("faults").replaceChildren();
	try {
		const tunnel = await ask("POST", `/v1/tunnels?${query}`, { type: "text/plain", body: $("conf").value });
		keep(tunnel);
		$("create-form").reset();
		$("create").open = false;
		tell("");
		const place = (warning) => (warning.line === undefined ? tunnel.id : `${tunnel.id}, line ${warning.line}`);
		note((tunnel.warnings || []).map((warning) => `${place(warning)}: ${warning.detail}`));
		render();
		cards.get(tunnel.id)?.root.scrollIntoView({ block: "nearest" });
		$("create").querySelector("summary").focus();
	} catch (error) {
		if (error.status === 401)
			return tellProblem(error);
		const faults = error.faults && error.faults.length ? error.faults.map((fault) => `${fault.pointer.replace(/^\/line\//, "Line ")}: ${fault.detail}`) : [error.message];
		$("faults").replaceChildren(...faults.map((fault) => element("li", {}, fault)));
	}
}

async function takeFile(file) {
	if (!file || file.size > 1 << 20)
		return;
	$("conf").value = await file.text();
	const name = file.name.replace(/\.conf$/, "").toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 63);
	if (!$("new-id").value)
		$("new-id").value = name;
	$("create").open = true;
	$("create-form").querySelector(".primary").focus();
}

function listen() {
	$("create-form").addEventListener("submit", create);
	$("filter").addEventListener("input", renderSoon);
	$("choose").addEventListener("click", () => $("file").click());
	$("file").addEventListener("change", () => takeFile($("file").files[0]));
	document.addEventListener("dragover", (event) => { event.preventDefault(); $("create").classList.add("over"); });
	document.addEventListener("dragleave", () => $("create").classList.remove("over"));
	document.addEventListener("drop", (event) => {
		event.preventDefault();
		$("create").classList.remove("over");
		takeFile(event.dataTransfer.files[0]);
	});
	$("token-form").addEventListener("submit", () => {
		sessionStorage.setItem(TOKEN_KEY, $("token").value.trim());
		$("token").value = "";
		start().catch(tellProblem);
	});
	$("note-close").addEventListener("click", () => note([]));
	$("sign-in").addEventListener("click", () => signIn(""));
	$("sign-out").addEventListener("click", () => {
		sessionStorage.removeItem(TOKEN_KEY);
		isLoaded = false;
		tunnels.clear();
		note([]);
		render();
		signIn("");
	});
	document.addEventListener("visibilitychange", () => !document.hidden && renderSoon());
}

listen();
start().catch(tellProblem);
