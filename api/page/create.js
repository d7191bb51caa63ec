/* A new tunnel from a wg-quick file: pasted, chosen, or dropped anywhere on the page. */

import { ask } from "./api.js";
import { $, alone, element, setText, viewOf } from "./dom.js";
import { labelTexts } from "./format.js";
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
	if (file.size > FILE_MOST)
		return tell(`${file.name} is larger than a tunnel's file can be.`);
	let text = "";
	try {
		text = await file.text();
	} catch {
		return tell(`${file.name} cannot be read.`);
	}
	tell("");
	openCreate();
	$("conf").value = text;
	const name = file.name.replace(/\.conf$/, "").toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 63);
	if (!$("new-id").value)
		$("new-id").value = name;
	$("create-form").querySelector(".primary").focus();
	return undefined;
}

/* What is wrong with what was dropped; null: nothing. */
function faultOf({ items, files }) {
	if (!can("write"))
		return "This token may not create tunnels.";
	const folder = [...items].find((item) => item.webkitGetAsEntry()?.isDirectory);
	if (folder)
		return `${folder.getAsFile()?.name ?? "This"} is a folder. Drop one .conf file; a folder of them is what the command \`warren apply\` takes.`;
	return files.length > 1 ? "Drop one .conf file at a time. The command `warren apply` takes a folder of them." : null;
}

function drop({ dataTransfer }) {
	const fault = faultOf(dataTransfer);
	return fault ? tell(fault) : takeFile(dataTransfer.files[0]);
}

/* Text that is dragged goes where the browser lets it be dropped: into a field. */
function hasFiles(event) {
	return event.dataTransfer?.types.includes("Files");
}

function emptyText() {
	if (can("write"))
		return "There are no tunnels yet. A tunnel begins with the .conf file of your VPN provider: drop it on this page, or paste it.";
	const labels = labelTexts(state.caller.labels);
	return labels.length > 0 ? `No tunnel has the labels that this token sees: ${labels.join(", ")}.` : "There are no tunnels yet.";
}

export function update() {
	setText($("empty-text"), emptyText());
	$("new").hidden = !can("write") || (rows.size === 0 && state.isLoaded);
	$("empty-new").hidden = !can("write");
}

export function init() {
	$("create-form").addEventListener("submit", alone(create));
	$("create-cancel").addEventListener("click", () => $("create").close());
	$("new").addEventListener("click", openCreate);
	$("empty-new").addEventListener("click", openCreate);
	$("choose").addEventListener("click", () => $("file").click());
	$("file").addEventListener("change", () => {
		if ($("file").files.length > 0)
			takeFile($("file").files[0]);
		$("file").value = "";   // the same file can be chosen again
	});
	document.addEventListener("dragover", (event) => {
		if (!hasFiles(event))
			return;
		event.preventDefault();
		document.body.classList.add("over");
	});
	document.addEventListener("dragleave", () => document.body.classList.remove("over"));
	document.addEventListener("drop", (event) => {
		if (!hasFiles(event))
			return;
		event.preventDefault();
		document.body.classList.remove("over");
		drop(event);
	});
}
