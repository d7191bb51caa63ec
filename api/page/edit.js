/* A tunnel or a pool is edited by form, or as JSON. A dry run shows what would change before it does; If-Match keeps others' edits. */

import { ask, askJson, pathOf } from "./api.js";
import { differences, locate, namesOf, write } from "./difference.js";
import { $, alone, button, element, setText } from "./dom.js";
import { POOL, TUNNEL, pathOfPointer } from "./fields.js";
import { showForm, takeForm } from "./form.js";
import { noteWarnings, tellProblem } from "./notice.js";

/* What is being edited: { kind, id, etag, before, document, sections, onSaved, checking }; `etag` is null for a new one, and `checking` is the check
 * under way, until what it checks is changed. */
let editing = null;

/* ---- as JSON ---- */

function isJson() {
	return !$("edit-json").hidden;
}

function takeJson() {
	clearFaults();
	try {
		editing.document = JSON.parse($("edit-text").value);
		return true;
	} catch (error) {
		showFaults([{ pointer: "", detail: error.message }]);
		return false;
	}
}

/* False if it is no JSON. */
function take() {
	if (isJson())
		return takeJson();
	clearFaults();
	takeForm();
	return true;
}

function drawForm() {
	showForm(editing.sections, editing.document, () => { clearFaults(); showPlanned(false); });
}

function showAs(json) {
	if (isJson() !== json && !take())
		return;
	$("edit-json").hidden = !json;
	$("edit-fields").hidden = json;
	$("edit-as-form").setAttribute("aria-pressed", String(!json));
	$("edit-as-json").setAttribute("aria-pressed", String(json));
	if (json)
		$("edit-text").value = JSON.stringify(editing.document, null, 2);
	else
		drawForm();
}

/* ---- faults ---- */

function clearFaults() {
	$("edit-faults").replaceChildren();
	$("edit-form").querySelectorAll(".fault").forEach((node) => setText(node, ""));
	$("edit-form").querySelectorAll("[aria-invalid]").forEach((node) => node.removeAttribute("aria-invalid"));
}

function goTo(pointer) {
	const place = isJson() && locate($("edit-text").value, pointer);
	if (!place)
		return;
	const box = $("edit-text"), line = box.value.slice(0, place[0]).split("\n").length - 1;
	box.focus();
	box.setSelectionRange(...place);
	box.scrollTop = (line - 4) * parseFloat(getComputedStyle(box).lineHeight);   // no browser scrolls to a selection by itself
}

/* At its member, if the form has it; the list of all has it anyway. */
function showFault({ pointer, detail }) {
	const path = pathOfPointer(pointer, editing.sections);
	const place = path && $("edit-form").querySelector(`.fault[data-for="${path}"]`), input = path && $("edit-form").elements.namedItem(path);
	if (place && !isJson()) {
		setText(place, detail);
		place.closest("details").open = true;
		if (input instanceof HTMLElement)
			input.setAttribute("aria-invalid", "true");
	}
	const where = isJson() && pointer ? button(pointer, () => goTo(pointer), { class: "small mono" }) : `${pointer} `;
	$("edit-faults").append(element("li", {}, where, ` ${detail}`));
}

function showFaults(faults) {
	clearFaults();
	faults.forEach(showFault);
	if (faults.length === 0)
		return;
	if (!isJson())
		$("edit-form").querySelector("[aria-invalid]")?.focus();
	goTo(faults[0].pointer);
}

/* ---- saving ---- */

function textOf(value) {
	return value === undefined ? "–" : JSON.stringify(value);
}

const EFFECTS = { created: "It is created.", in_place: "It changes in place: connections stay open.",
	restarted: "Its stack or a listener is restarted: its connections are cut.", unchanged: "Nothing changes." };

/* The reply has no secrets: those that were typed are told by their names alone. */
function secretsIn(document, pointer = "") {
	return Object.entries(document || {}).flatMap(([key, value]) => {
		if (/^(private_key|preshared_key|header_protection_key|password)$/.test(key) && value)
			return [{ pointer: `${pointer}/${key}`, before: undefined, after: "(new)" }];
		return typeof value === "object" ? secretsIn(value, `${pointer}/${key}`) : [];
	});
}

/* What was not checked cannot be saved. */
function showPlanned(isPlanned) {
	editing.checking = null;
	$("edit-plan").hidden = !isPlanned;
	$("edit-save").hidden = !isPlanned;
	$("edit-check").classList.toggle("primary", !isPlanned);
}

function isEmpty(value) {
	return value !== null && typeof value === "object" && Object.keys(value).length === 0;
}

/* What was left out and stays empty is no change. */
function showPlan(planned) {
	const { labels, spec } = planned, isTold = ({ before, after }) => before !== undefined || !isEmpty(after);
	const changes = [...differences(editing.before, { labels, spec }).filter(isTold), ...secretsIn(editing.document)];
	setText($("edit-effect"), EFFECTS[planned.applied] || planned.applied);
	$("edit-changes").replaceChildren(...changes.map(({ pointer, before, after }) => element("li", {}, element("code", {}, pointer), " ",
		element("del", {}, textOf(before)), " → ", element("ins", {}, textOf(after)))));
	showPlanned(true);
	$("edit-save").hidden = planned.applied === "unchanged" && changes.length === 0;
	($("edit-save").hidden ? $("edit-cancel") : $("edit-save")).focus();
}

function send(isDry) {
	const { kind, id, etag, document } = editing, query = isDry ? "?dry_run=true" : "", body = { labels: document.labels, spec: document.spec };
	if (etag === null)
		return askJson("POST", `/v1/${kind}${query}`, { ...body, ...($("edit-id").value ? { id: $("edit-id").value } : {}) });
	return askJson("PUT", `${pathOf(kind, id)}${query}`, body, { "If-Match": etag });
}

function showProblem(error) {
	if (error.status === 401)
		return tellProblem(error);
	showPlanned(false);
	$("edit-conflict").hidden = error.status !== 412;
	if (error.status === 412)
		return $("edit-take").focus();
	return showFaults(error.faults?.length ? error.faults : [{ pointer: "", detail: error.message }]);
}

async function check() {
	const own = editing, checking = {};
	$("edit-conflict").hidden = true;
	if (!take())
		return;
	own.checking = checking;
	const isCurrent = () => own === editing && own.checking === checking;
	try {
		const planned = await send(true);
		if (isCurrent())
			showPlan(planned);
	} catch (error) {
		if (isCurrent())
			showProblem(error);
	}
}

/* The dialog may be closed, or about something else, when the reply comes. */
async function save() {
	const own = editing, isShown = () => own === editing && $("edit").open;
	try {
		const saved = await send(false);
		if (isShown())
			$("edit").close();
		noteWarnings(saved);
		own.onSaved(saved);
	} catch (error) {
		(isShown() ? showProblem : tellProblem)(error);
	}
}

/* Another client changed it meanwhile: what was typed is laid over what there is now, and what the other changed is kept. */
async function takeTheirs() {
	const own = editing, mine = differences(own.before, { labels: own.document.labels, spec: own.document.spec });
	const theirs = await ask("GET", pathOf(own.kind, own.id));
	if (own !== editing)
		return;
	own.etag = theirs.etag;
	own.before = { labels: theirs.labels, spec: theirs.spec };
	own.document = structuredClone(own.before);
	mine.forEach(({ pointer, after }) => write(own.document, namesOf(pointer), after));
	$("edit-conflict").hidden = true;
	if (isJson())
		$("edit-text").value = JSON.stringify(own.document, null, 2);
	else
		drawForm();
	await check();
}

/* `object` is as the API has it, without an etag for a new one. */
export function edit(kind, object, onSaved) {
	const before = { labels: object.labels, spec: object.spec };
	const sections = kind === "pools" ? POOL : TUNNEL;
	editing = { kind, id: object.id, etag: object.etag || null, before, document: structuredClone(before), sections, onSaved };
	setText($("edit-title"), object.etag ? `Edit ${object.id}` : "New pool");
	$("edit-id-field").hidden = Boolean(object.etag);
	$("edit-id").value = "";
	showPlanned(false);
	for (const id of ["edit-conflict", "edit-json"])
		$(id).hidden = true;
	$("edit-fields").replaceChildren();
	$("edit-fields").hidden = false;
	$("edit-as-form").setAttribute("aria-pressed", "true");
	$("edit-as-json").setAttribute("aria-pressed", "false");
	drawForm();
	clearFaults();
	$("edit").showModal();
	$("edit-fields").parentElement.scrollTop = 0;
	$("edit-title").focus();
}

export function init() {
	$("edit-form").addEventListener("submit", (event) => { event.preventDefault(); check(); });
	$("edit-form").addEventListener("input", () => showPlanned(false));
	$("edit-as-form").addEventListener("click", () => showAs(false));
	$("edit-as-json").addEventListener("click", () => showAs(true));
	$("edit-save").addEventListener("click", alone(save));
	$("edit-take").addEventListener("click", () => takeTheirs().catch(showProblem));
	$("edit-cancel").addEventListener("click", () => $("edit").close());
}
