/* What is done to the tunnels that are selected. */

import { askJson, pathOf } from "./api.js";
import { $, alone, button, fill, setText } from "./dom.js";
import { amount, plural } from "./format.js";
import { can, rows } from "./model.js";
import { attempt, confirm, note, tell } from "./notice.js";
import { clearSelection, selected } from "./table.js";

const BATCH = 1000;

/* Those that a file makes are changed by it alone. */
function changeable() {
	return [...selected].filter((id) => rows.get(id)?.origin !== "file");
}

/* One request for many; each failure is shown with its tunnel. */
async function run(ids, operation) {
	const failures = [];
	for (let at = 0; at < ids.length; at += BATCH) {
		const some = ids.slice(at, at + BATCH);
		const { results } = await askJson("POST", "/v1/batch", { operations: some.map(operation) });
		results.forEach((result, i) => result.status >= 400 && failures.push(`${some[i]}: ${result.body?.detail || result.status}`));
	}
	note(failures);
	if (failures.length === 0)
		clearSelection();
}

function patchAll(ids, body) {
	return run(ids, (id) => ({ method: "PATCH", path: pathOf("tunnels", id), body }));
}

async function remove() {
	const ids = changeable();
	const yes = await confirm({ title: `Delete ${plural(ids.length, "tunnel")}?`, names: ids, yes: "Delete",
		text: "Their connections are closed and their keys are wiped. This cannot be undone." });
	if (yes)
		await run(ids, (id) => ({ method: "DELETE", path: pathOf("tunnels", id) }));
}

async function disable() {
	const ids = changeable();
	const title = `Disable ${plural(ids.length, "tunnel")}?`;
	const yes = await confirm({ title, names: ids, yes: "Disable", text: "Their connections are closed." });
	if (yes)
		await patchAll(ids, { spec: { enabled: false } });
}

/* `KEY=VALUE` sets a label, `KEY` alone removes it. */
async function label() {
	const text = $("bulk-label").value.trim(), at = text.indexOf("=");
	if (!text)
		return;
	const labels = at < 0 ? { [text]: null } : { [text.slice(0, at)]: text.slice(at + 1) };
	await patchAll(changeable(), { labels });
	$("bulk-label").value = "";
}

export function update() {
	$("bulk").hidden = selected.size === 0 || !can("write");
	const fixed = selected.size - changeable().length;
	setText($("bulk-count"), `${amount(selected.size)} selected${fixed ? `, ${fixed} of files` : ""}`);
}

export function init() {
	const actions = [
		["Enable", () => patchAll(changeable(), { spec: { enabled: true } })],
		["Disable", disable],
		["Reconnect", () => run([...selected], (id) => ({ method: "POST", path: pathOf("tunnels", id, "/actions/reconnect") }))],
		["Delete", remove],
	];
	const make = ([name, work]) => button(name, () => attempt(work), { class: name === "Delete" ? "danger" : undefined });
	fill($("bulk-actions"), "once", () => actions.map(make));
	$("bulk-form").addEventListener("submit", alone(() => attempt(label)));
	$("bulk-clear").addEventListener("click", () => { clearSelection(); tell(""); });
}
