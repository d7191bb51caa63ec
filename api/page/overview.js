/* The totals, and what is the matter, worst first. */

import { $, button, element, fill, setText, viewOf } from "./dom.js";
import { problemOf, problems } from "./filter.js";
import { amount, duration, plural, rate } from "./format.js";
import { rows, state } from "./model.js";
import { show } from "./table.js";

const SHOWN_MOST = 6;

function describe(row) {
	const what = { unhealthy: "not healthy", condition: row.state }[problemOf(row)] || row.state;
	const since = Number.isNaN(row.since) ? "" : ` for ${duration((state.now - row.since) / 1000)}`;
	return { what: `${what}${since}`, why: [row.reason, ...row.conditions].filter(Boolean).join(" · ") };
}

function lineOf(row) {
	const { what, why } = describe(row);
	return element("li", {}, element("a", { href: viewOf("tunnels", row.id) }, row.id),
		element("span", { class: `chip ${problemOf(row)}` }, what), element("span", { class: "why" }, why));
}

function showAll(count) {
	return button(`Show all ${count}`, () => show({ state: "problem" }), { class: "small" });
}

function updateProblems(found) {
	$("problems").hidden = found.length === 0;
	setText($("problems-title"), `${plural(found.length, "tunnel")} with a problem`);
	const shown = found.slice(0, SHOWN_MOST);
	fill($("problem-list"), JSON.stringify([found.length, shown.map((row) => [row.id, describe(row)])]), () => [
		...shown.map(lineOf),
		...(found.length > SHOWN_MOST ? [element("li", {}, showAll(found.length))] : []),
	]);
}

export function update() {
	const all = [...rows.values()].filter((row) => row.state !== "elsewhere"), found = problems(all);
	const up = all.filter((row) => row.state === "up").length;
	const unhealthy = all.filter((row) => row.enabled && row.healthy === false).length;
	setText($("total-up"), `${amount(up)} of ${amount(all.length)}`);
	setText($("total-unhealthy"), amount(unhealthy));
	$("total-unhealthy").classList.toggle("bad", unhealthy > 0);
	setText($("total-received"), rate(state.totals.received));
	setText($("total-sent"), rate(state.totals.sent));
	setText($("total-open"), amount(state.totals.open));
	const workers = state.info?.workers;
	$("tile-workers").hidden = !workers;
	if (workers) {
		const ready = workers.filter((worker) => worker.state === "ready").length;
		setText($("total-workers"), `${ready} of ${workers.length}`);
		$("total-workers").classList.toggle("bad", ready < workers.length);
	}
	updateProblems(found);
	document.title = all.length ? `${up}/${all.length} up · warren` : "warren";
}
