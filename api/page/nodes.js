/* The nodes of the fleet that this daemon is one of. Each is emptied at its own API, and so in its own page. */

import { patch, pathOf } from "./api.js";
import { $, button, cellsOf, element, fill, headsOf, pause, setText } from "./dom.js";
import { loadFleet } from "./feed.js";
import { amount, duration, labelTexts, webAddress } from "./format.js";
import { can, state } from "./model.js";
import { attempt, confirm } from "./notice.js";

const HEADS = ["Node", "State", "Tunnels", "Labels", "Version", "Lease ends in", ""], LEASE = HEADS.indexOf("Lease ends in");

async function drain(node, draining) {
	const text = "Its tunnels go to other nodes, some at a time, and it gets no more until it is let have some again. Connections through them are cut.";
	if (draining && !await confirm({ title: `Empty the node ${node.id}?`, text, yes: "Empty it", isDangerous: false }))
		return;
	await attempt(async () => { await patch(pathOf("nodes", node.id), { draining }); await loadFleet(); });
}

function actionOf(node) {
	if (!node.is_self)
		return linkTo(node, `Open the page of ${node.id}`);
	if (!can("admin"))
		return "";
	const draining = node.state !== "draining", text = draining ? "Empty" : "Let it have tunnels";
	return button(text, () => drain(node, draining), { class: "small", "aria-label": `${text}: ${node.id}` });
}

/* Null without an address of the web. */
export function linkTo(node, text) {
	const address = webAddress(node?.api);
	return address ? element("a", { href: address, rel: "noreferrer" }, text) : null;
}

function lineOf(node) {
	const chip = element("span", { class: `chip ${{ ready: "up", draining: "stale", lost: "failed" }[node.state]}` }, node.state);
	const name = node.is_self ? `${node.id} (this one)` : node.id;
	return element("tr", {}, ...cellsOf(HEADS, [name, chip, `${amount(node.tunnels)} of ${amount(node.capacity)}`, labelTexts(node.labels).join(", ") || "none",
		node.version || "not known", "", actionOf(node)]));
}

export function update() {
	const fleet = state.info?.fleet;
	$("nodes-cut-off").hidden = !fleet || fleet.connected;
	setText($("nodes-count"), `${amount(state.nodes.filter((node) => node.state !== "lost").length)} of ${amount(state.nodes.length)} are there`);
	fill($("node-heads"), "once", () => headsOf(HEADS));
	/* A lease is another each time, and does not replace the line. */
	const lasting = state.nodes.map((node) => ({ ...node, lease_expires_in: 0 }));
	fill($("node-lines"), JSON.stringify([lasting, state.caller.scopes]), () => state.nodes.map(lineOf));
	[...$("node-lines").rows].forEach((line, i) => {
		const node = state.nodes[i];
		setText(line.cells[LEASE], !node || node.state === "lost" ? "–" : duration(node.lease_expires_in));
	});
}

let shown = null;

export async function open() {
	const own = {};
	shown = own;
	while (shown === own) {
		if (!document.hidden && state.lostAt === null)
			await loadFleet();
		await pause(3000);
	}
}

export function close() {
	shown = null;
}
