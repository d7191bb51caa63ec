/* Pools: one port over many tunnels. */

import { ask, pathOf } from "./api.js";
import { $, button, cellsOf, copyButton, element, fill, headsOf, viewOf } from "./dom.js";
import { edit } from "./edit.js";
import { loadPools } from "./feed.js";
import { health, labelTexts, milliseconds, plural } from "./format.js";
import { can, pools, state } from "./model.js";
import { attempt, confirm } from "./notice.js";

const MEMBERS_MOST = 100;   // that are shown

let chosen = "";   // the pool that the address names

const EMPTY = { labels: {}, spec: {
	enabled: true,
	proxy: { listen: ["127.0.0.1:0"], protocols: ["http", "socks5", "socks4"], allow_private_targets: true },
	members: {}, strategy: "round_robin", sticky: { by: "none", ttl: 600 }, retries: 1, rules: [], limits: { connections: 0 },
} };

async function remove(id) {
	const yes = await confirm({ title: `Delete the pool ${id}?`, text: "Its connections are closed. Its tunnels stay.", yes: "Delete" });
	if (yes)
		await attempt(async () => { await ask("DELETE", pathOf("pools", id)); await loadPools(); $("pools-title").focus(); });
}

/* The next connection of every client chooses anew. */
async function rotate(id) {
	const text = "The next connection of each client may go through another tunnel.";
	const yes = await confirm({ title: `Forget the sessions of ${id}?`, text, yes: "Forget them", isDangerous: false });
	if (yes)
		await attempt(() => ask("DELETE", pathOf("pools", id, "/sessions")));
}

async function openEditor(id) {
	edit("pools", await ask("GET", pathOf("pools", id)), loadPools);
}

function actions(pool) {
	if (!can("write"))
		return [];
	const change = pool.origin === "file" ? [] : [
		button("Edit", () => attempt(() => openEditor(pool.id)), { "aria-label": `Edit ${pool.id}` }),
		button("Delete", () => remove(pool.id), { class: "danger", "aria-label": `Delete ${pool.id}` })];
	return [button("New exits", () => rotate(pool.id), { "aria-label": `New exits for ${pool.id}` }), ...change];
}

const MEMBER_HEADS = ["Tunnel", "State", "Health", "Round trip", "Connections", "Weight"];

function memberLine(member) {
	const link = element("a", { href: viewOf("tunnels", member.tunnel) }, member.tunnel);
	const cells = [link, element("span", { class: `chip ${member.state}` }, member.state), health(member.healthy), milliseconds(member.rtt_ms),
		String(member.connections_open), String(member.weight)];
	return element("tr", {}, ...cellsOf(MEMBER_HEADS, cells));
}

function membersOf({ id, status }) {
	if (status.members.length === 0)
		return element("p", { class: "dim" }, "No tunnel is a member yet. Edit it: name tunnels, or labels that they have.");
	const shown = status.members.slice(0, MEMBERS_MOST), rest = status.members.length - shown.length;
	const heads = element("thead", {}, element("tr", {}, ...headsOf(MEMBER_HEADS)));
	const table = element("table", { class: "list" }, heads, element("tbody", {}, ...shown.map(memberLine)));
	return element("details", { open: id === chosen }, element("summary", {}, plural(status.members.length, "member")), table,
		rest > 0 ? element("p", { class: "dim" }, `and ${rest} more`) : null);
}

function describe({ spec, status }) {
	const own = status.members.filter((member) => member.of === "pool").length, parts = [`${status.members_up} of ${plural(own, "member")} up`];
	parts.push(spec.strategy.replace(/_/g, " "));
	if (spec.sticky.by !== "none")
		parts.push(`sticky by ${spec.sticky.by}, ${spec.sticky.ttl} s`);
	if (spec.rules.length > 0)
		parts.push(plural(spec.rules.length, "rule"));
	return parts.join(" · ");
}

function cardOf(pool) {
	const { id, status } = pool, pac = `${location.origin}${pathOf("pools", id, "/pac")}`;
	const title = [element("h3", { tabindex: "-1" }, id), element("span", { class: `chip ${status.state}` }, status.state)];
	return element("li", { class: "card", id: `pool-${id}` }, element("div", { class: "title" }, ...title),
		status.reason ? element("p", { class: "reason" }, status.reason) : null,
		element("p", { class: "dim" }, describe(pool)),
		element("p", { class: "labels" }, ...labelTexts(pool.labels).map((label) => element("span", {}, label))),
		...status.listen.map((address) => element("p", {}, element("span", { class: "mono" }, address), " ", copyButton(address))),
		element("p", {}, element("a", { href: pac }, "Proxy file for browsers (PAC)"), " ", copyButton(pac)),
		membersOf(pool), element("div", { class: "actions" }, ...actions(pool)));
}

export function update() {
	$("pool-new").hidden = !can("write");
	$("pools-none").hidden = pools.size > 0 || !state.isLoaded;
	const key = JSON.stringify([chosen, state.caller.scopes, ...pools.values()]);
	fill($("pool-list"), key, () => [...pools.values()].map(cardOf));
}

export function open(id) {
	chosen = id || "";
	loadPools().then(() => {
		update();
		document.getElementById(`pool-${id}`)?.querySelector("h3").focus();
	}).catch(() => {});
}

export function init() {
	$("pool-new").addEventListener("click", () => edit("pools", EMPTY, (saved) => {
		loadPools();
		location.hash = viewOf("pools", saved.id);
	}));
}
