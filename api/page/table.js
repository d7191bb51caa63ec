/* The table of tunnels. Only the lines that the window shows are in the document, so that ten thousand scroll as well as ten. */

import { $, element, fill, option, setAttribute, setText, viewOf } from "./dom.js";
import { arrange, labelKeys, problemOf, visibleRange } from "./filter.js";
import { ago, amount, health, labelTexts, milliseconds, plural, rate } from "./format.js";
import { can, membersOfPools, pools, rows, state } from "./model.js";

const wanted = { text: "", state: "", health: "", pool: "", node: "", group: "", column: "id", isReversed: false };
export const selected = new Set();   // ids

let shown = { lines: [], rows: [] };
const nodes = new Map();             // line number -> the line's elements
let lineHeight = 44;
let onSelect = () => {};

export function whenSelected(work) {
	onSelect = work;
}

/* ---- one line ---- */

function cell(name, ...children) {
	return element("span", { role: "cell", class: `cell ${name}`, "data-name": name }, ...children);
}

function makeLine() {
	const line = {
		box: element("input", { type: "checkbox", onchange: () => select(line.id, line.box.checked) }),
		link: element("a"),
		labels: element("span", { class: "labels" }),
		state: element("span", { class: "chip" }),
		heading: element("span", { role: "cell", class: "heading" }),
	};
	line.cells = Object.fromEntries(["health", "rtt", "received", "sent", "handshake", "open", "address", "node"].map((name) => [name, cell(name)]));
	line.all = [cell("select", line.box), cell("id", line.link, line.labels), cell("state", line.state), ...Object.values(line.cells)];
	line.root = element("div", { role: "row", class: "line" }, line.heading, ...line.all);
	return line;
}

/* What is idle is not in colour, so that what carries something is seen. */
function updateRate(node, name, arrow, row) {
	setText(node, row.state === "disabled" || row.state === "elsewhere" ? "–" : `${arrow} ${rate(row[name])}`);
	setAttribute(node, "class", `cell ${name}${row[name] > 0 ? "" : " idle"}`);
}

function updateTunnel(line, row) {
	line.id = row.id;
	setText(line.link, row.id);
	setAttribute(line.link, "href", viewOf("tunnels", row.id));
	setAttribute(line.box, "aria-label", `Select ${row.id}`);
	line.box.checked = selected.has(row.id);
	const labels = labelTexts(row.labels);
	fill(line.labels, labels.join("\n"), () => labels.map((label) => element("span", {}, label)));
	const problem = problemOf(row);
	setText(line.state, row.state === "elsewhere" ? `on ${row.node}` : row.state);
	setAttribute(line.state, "class", `chip ${row.state}`);
	setAttribute(line.state, "title", [row.reason, ...row.conditions].join(" · "));
	setText(line.cells.health, row.state === "disabled" || row.state === "elsewhere" ? "–" : health(row.healthy));
	setAttribute(line.cells.health, "class", `cell health ${row.healthy === false && problem ? "bad" : row.healthy ? "good" : "dim"}`);
	setText(line.cells.rtt, milliseconds(row.rtt));
	updateRate(line.cells.received, "received", "↓", row);
	updateRate(line.cells.sent, "sent", "↑", row);
	setText(line.cells.handshake, ago(row.handshake, state.now));
	setText(line.cells.open, String(row.open));
	setText(line.cells.address, row.listen.join(", ") || "–");
	setAttribute(line.cells.address, "title", row.listen.join(", "));
	setText(line.cells.node, row.node || "none");
}

function updateLine(line, number) {
	const content = shown.lines[number], isHeading = content.group !== undefined;
	line.heading.hidden = !isHeading;
	line.all.forEach((node) => { node.hidden = isHeading; });
	line.root.classList.toggle("group", isHeading);
	setAttribute(line.root, "aria-rowindex", String(number + 2));
	line.root.style.transform = `translateY(${number * lineHeight}px)`;
	if (!isHeading)
		return updateTunnel(line, content);
	const up = content.rows.filter((row) => row.state === "up").length;
	return setText(line.heading, `${content.group} · ${up} of ${plural(content.rows.length, "tunnel")} up`);
}

/* ---- the window ---- */

/* The line with the focus stays, so that the keyboard does not lose its place. */
function draw() {
	const list = $("lines"), top = -list.getBoundingClientRect().top;
	const [first, end] = visibleRange(shown.lines.length, lineHeight, top, top + innerHeight);
	for (const [number, line] of nodes)
		if (number >= shown.lines.length || ((number < first || number >= end) && !line.root.contains(document.activeElement))) {
			line.root.remove();
			nodes.delete(number);
		}
	for (let number = first; number < end; number++) {
		if (!nodes.has(number)) {
			const line = makeLine();
			nodes.set(number, line);
			const next = [...nodes.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
			list.insertBefore(line.root, next === undefined ? null : nodes.get(next).root);
		}
	}
	nodes.forEach(updateLine);
}

let frame = 0;
function drawSoon() {
	frame ||= requestAnimationFrame(() => { frame = 0; draw(); });
}

function measure() {
	const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
	lineHeight = parseFloat(getComputedStyle($("lines")).getPropertyValue("--height")) * rem;
	$("lines").style.height = `${shown.lines.length * lineHeight}px`;
}

function updateGroups() {
	const all = [...rows.values()], keys = labelKeys(all);
	const refill = (node, first, values) => {
		fill(node, values.join("\n"), () => [option("", first), ...values.map((value) => option(value, value))]);
		node.value = wanted[node.name];
		node.closest("label").hidden = values.length === 0;
	};
	refill($("filter-group"), "no groups", keys);
	refill($("filter-pool"), "any pool", [...pools.keys()]);
	refill($("filter-node"), "any node", state.nodes.map((node) => node.id));
}

export function update() {
	updateGroups();
	shown = arrange([...rows.values()], wanted, membersOfPools());
	measure();
	setAttribute($("table"), "aria-rowcount", String(shown.lines.length + 1));
	const part = shown.rows.length === rows.size ? "" : `${amount(shown.rows.length)} of `;
	const labels = labelTexts(state.caller.labels);
	setText($("shown-count"), `${part}${plural(rows.size, "tunnel")}${labels.length > 0 ? ` with ${labels.join(", ")}` : ""}`);
	$("table").hidden = shown.rows.length === 0;
	$("filters").hidden = rows.size === 0;
	$("empty").hidden = rows.size > 0 || !state.isLoaded;
	$("none").hidden = shown.rows.length > 0 || rows.size === 0;
	document.querySelectorAll("[data-column]").forEach((node) => {
		const isSorted = node.dataset.column === wanted.column;
		setAttribute(node.parentElement, "aria-sort", !isSorted ? "none" : wanted.isReversed ? "descending" : "ascending");
	});
	for (const id of selected)
		if (!rows.has(id))
			selected.delete(id);
	$("select-all").checked = shown.rows.length > 0 && shown.rows.every((row) => selected.has(row.id));
	$("table").classList.toggle("selectable", can("write"));
	$("table").classList.toggle("in-fleet", state.nodes.length > 0);
	onSelect();
	draw();
}

/* ---- what the user wants ---- */

export function show(change) {
	Object.assign(wanted, { text: "", state: "", health: "", pool: "", node: "" }, change);
	for (const name of ["text", "state", "health", "pool", "node", "group"])
		$(`filter-${name}`).value = wanted[name];
	update();
	$("tunnels-title").scrollIntoView({ block: "start" });
}

function select(id, isSelected) {
	if (isSelected)
		selected.add(id);
	else
		selected.delete(id);
	update();
}

export function clearSelection() {
	selected.clear();
	update();
}

function sortBy(column) {
	wanted.isReversed = wanted.column === column && !wanted.isReversed;
	wanted.column = column;
	update();
}

/* Up and down go from line to line, through those that are not in the document yet, too. */
function onKey(event) {
	const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], root = event.target.closest(".line");
	if (!step || !root)
		return;
	event.preventDefault();
	let number = Number(root.getAttribute("aria-rowindex")) - 2 + step;
	while (shown.lines[number]?.group !== undefined)
		number += step;
	if (!shown.lines[number])
		return;
	const top = $("lines").getBoundingClientRect().top + number * lineHeight, name = event.target.type === "checkbox" ? "box" : "link";
	if (top < lineHeight * 2 || top + lineHeight > innerHeight - lineHeight)
		scrollBy(0, step * lineHeight);
	draw();
	nodes.get(number)?.[name].focus({ preventScroll: true });
}

export function init() {
	for (const name of ["text", "state", "health", "pool", "node", "group"])
		$(`filter-${name}`).addEventListener("input", (event) => { wanted[name] = event.target.value; update(); });
	$("filter-sort").addEventListener("input", (event) => { wanted.column = event.target.value; wanted.isReversed = false; update(); });
	document.querySelectorAll("[data-column]").forEach((node) => node.addEventListener("click", () => sortBy(node.dataset.column)));
	$("select-all").addEventListener("change", (event) => {
		shown.rows.forEach((row) => (event.target.checked ? selected.add(row.id) : selected.delete(row.id)));
		update();
	});
	$("lines").addEventListener("keydown", onKey);
	addEventListener("scroll", drawSoon, { passive: true });
	addEventListener("resize", () => { measure(); drawSoon(); });
}
