/* A new tunnel from a wg-quick file: pasted, chosen, or dropped anywhere on the page. */

import { ask } from "./api.js";
import { $, alone, element, viewOf } from "./dom.js";
import { can, keep, rows, state } from "./model.js";
import { noteWarnings, tell, tellProblem } from "./notice.js";

const FILE_MOST = 1 << 20;

function openCreate() {
	if (!$("create").open)
		$("create").showModal();
	$("conf").focus();
}

async function create() {
	const query = new URLSearchParams();
	for (const [name, field] of [["id", "new-id"], ["listen", "new-listen"]])
		if ($(field).value)
			query.set(name, $(field).value);
	for (const label of $("new-labels").value.split(/[\s,]+/).filter(Boolean))
		query.append("label", label);
	$("faults").replaceChildren();
	try {
		const tunnel = await ask("POST", `/v1/tunnels?${query}`, { type: "text/plain", body: $("conf").value });
		keep(tunnel);
		$("create-form").reset();
		$("create").close();
		tell("");
		noteWarnings(tunnel);
		location.hash = viewOf("tunnels", tunnel.id);
	} catch (error) {
		if (error.status === 401)
			return tellProblem(error);
		const told = (fault) => `${fault.pointer.replace(/^\/line\//, "Line ")}: ${fault.detail}`;
		const faults = error.faults?.length ? error.faults.map(told) : [error.message];
		$("faults").replaceChildren(...faults.map((fault) => element("li", {}, fault)));
	}
	return undefined;
}

async function takeFile(file) {
	if (!file || !can("write"))
		return;
	if (file.size > FILE_MOST)
		return tell(`${file.name} is larger than a tunnel's file can be.`);
	openCreate();
	$("conf").value = await file.text();
	const name = file.name.replace(/\.conf$/, "").toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 63);
	if (!$("new-id").value)
		$("new-id").value = name;
	$("create-form").querySelector(".primary").focus();
	return undefined;
}

export function update() {
	$("new").hidden = !can("write") || (rows.size === 0 && state.isLoaded);
	$("empty-new").hidden = !can("write");
}

export function init() {
	$("create-form").addEventListener("submit", alone(create));
	$("create-cancel").addEventListener("click", () => $("create").close());
	$("new").addEventListener("click", openCreate);
	$("empty-new").addEventListener("click", openCreate);
	$("choose").addEventListener("click", () => $("file").click());
	$("file").addEventListener("change", () => takeFile($("file").files[0]));
	document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
	document.addEventListener("dragleave", () => document.body.classList.remove("over"));
	document.addEventListener("drop", (event) => {
		event.preventDefault();
		document.body.classList.remove("over");
		takeFile(event.dataTransfer.files[0]);
	});
}
