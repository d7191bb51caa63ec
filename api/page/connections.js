/* The connections that are open, which can be cut. */

import { ask, pathOf } from "./api.js";
import { $, button, cellsOf, element, fill, headsOf, newestOf, pause, setText, soon, viewOf } from "./dom.js";
import { duration, plural, size } from "./format.js";
import { can, state } from "./model.js";
import { attempt, confirm, note } from "./notice.js";

const SHOWN_MOST = 500;
export const CONNECTION_HEADS = ["Tunnel", "Protocol", "Client", "User", "Target", "Age", "Received", "Sent", ""];

/* What ended by itself meanwhile is closed, too. */
function unlessEnded(error) {
	if (error.status !== 404)
		throw error;
}

function kill(one, row) {
	return attempt(async () => {
		await ask("DELETE", pathOf("connections", one.id)).catch(unlessEnded);
		row.remove();
	});
}

export function connectionLine(one, hasTunnel = true) {
	const target = one.address && one.target !== one.address ? `${one.target ?? ""} ${one.address}` : one.target ?? "";
	const through = element("span", {}, element("a", { href: viewOf("tunnels", one.tunnel) }, one.tunnel), one.pool ? ` by ${one.pool}` : "");
	const texts = [through, one.protocol, one.client ?? "unix socket", one.user ?? "", target, duration(one.age), size(one.bytes_received),
		size(one.bytes_sent)];
	const cells = cellsOf(CONNECTION_HEADS, texts);
	const row = element("tr", {}, ...(hasTunnel ? cells : cells.slice(1)));
	const name = `Close the connection of ${one.client ?? "a client"} to ${one.target ?? "nothing yet"}`;
	row.append(element("td", {}, can("write") ? button("Close", () => kill(one, row), { class: "small danger", "aria-label": name }) : null));
	return row;
}

function query() {
	const wanted = new URLSearchParams();
	for (const name of ["tunnel", "pool", "client", "user", "target", "protocol"])
		if ($(`connections-${name}`).value.trim())
			wanted.set(name, $(`connections-${name}`).value.trim());
	return wanted;
}

function askForList() {
	const wanted = query();
	wanted.set("page_size", SHOWN_MOST);
	return ask("GET", `/v1/connections?${wanted}`);
}

function showList({ connections: list, next_page_token: more, incomplete }) {
	setText($("connections-count"), `${more ? "The first " : ""}${plural(list.length, "connection")}`);
	$("connections-incomplete").hidden = !incomplete;
	$("connections-none").hidden = list.length > 0;
	$("connections-table").hidden = list.length === 0;
	$("connections-close").hidden = !can("write") || list.length === 0;
	fill($("connection-heads"), "once", () => headsOf(CONNECTION_HEADS));
	fill($("connection-lines"), JSON.stringify(list), () => list.map((one) => connectionLine(one)));
}

/* While a filter is typed one answer may overtake another. */
const read = newestOf(askForList, showList);

function showFailure(error) {
	if (error.status)
		setText($("connections-count"), error.message);
}

const readSoon = soon(() => read().catch(showFailure), 150);

async function closeAll() {
	const wanted = query(), { closed: count } = await ask("DELETE", `/v1/connections?dry_run=true&${wanted}`);
	const which = wanted.size ? [...wanted].map((pair) => pair.join(": ")) : ["all of them"];
	const title = `Close ${plural(count, "connection")}?`, text = "Clients see their connection reset. These:";
	if (await confirm({ title, text, names: which, yes: "Close" })) {
		const { closed, incomplete } = await ask("DELETE", `/v1/connections?${wanted}`);
		note([`${plural(closed, "connection")} closed.`, ...(incomplete ? ["A worker was too busy to close all of its own."] : [])]);
		await read();
	}
}

export function forgetAll() {
	fill($("connection-lines"), "nothing", () => []);
}

let shown = null;

export async function open() {
	const own = {};
	shown = own;
	while (shown === own) {
		if (!document.hidden && state.lostAt === null)
			await read().catch(showFailure);
		await pause(2000);
	}
}

export function close() {
	shown = null;
}

export function init() {
	$("connections-form").addEventListener("input", readSoon);
	$("connections-form").addEventListener("submit", (event) => event.preventDefault());
	$("connections-close").addEventListener("click", () => attempt(closeAll));
}
