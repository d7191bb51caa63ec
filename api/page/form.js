/* A document as a form: its fields, its lists of rows, and objects of several types. */

import { read, write } from "./difference.js";
import { $, button, element, option } from "./dom.js";
import { fromText, toText } from "./fields.js";

let form = null;   // { sections, document, onRestructured }

function inputOf(field, value) {
	const name = field.path;
	switch (field.kind) {
	case "check": return element("input", { type: "checkbox", name, checked: Boolean(value) });
	case "number": return element("input", { name, inputmode: "numeric", value: toText("number", value) });
	case "text": return element("input", { name, value: toText("text", value), spellcheck: "false", autocapitalize: "none", autocomplete: "off" });
	case "secret": return element("input", { name, type: "password", autocomplete: "new-password", placeholder: field.hint });
	case "one": {
		const select = element("select", { name }, ...field.values.map((one) => option(one, one)));
		select.value = value ?? field.values[0];
		return select;
	}
	default: {
		const text = toText(field.kind, value), rows = Math.min(8, Math.max(2, text.split("\n").length));
		return element("textarea", { name, rows, spellcheck: "false", autocapitalize: "none" }, text);
	}
	}
}

/* Where a fault of the field is told. */
function faultOf(field) {
	return element("small", { class: "fault", "data-for": field.path });
}

function labelled(field, value) {
	const input = inputOf(field, value), hint = field.hint && field.kind !== "secret" ? element("small", { class: "dim" }, field.hint) : null;
	return element("label", { class: `field ${field.kind}` }, element("span", {}, field.label), input, hint, faultOf(field));
}

function severalOf(field, value) {
	const boxes = field.values.map((one) => element("label", { class: "field check" },
		element("input", { type: "checkbox", name: field.path, value: one, checked: (value || []).includes(one) }), element("span", {}, one)));
	return element("fieldset", { class: "several" }, element("legend", {}, field.label), ...boxes, faultOf(field));
}

/* The fields of the object at `path`. */
function columnsOf(columns, path, value) {
	return columns.map((column) => labelled({ ...column, path: `${path}.${column.name}` }, read(value, column.name)));
}

function rowOf(field, value, index) {
	const name = `${field.noun} ${index + 1}`, path = `${field.path}.${index}`;
	const act = (text, change) => button(`${text} ${name}`, () => changeRows(field, change), { class: "small" });
	const up = field.isOrdered && index > 0 ? act("Move up", (list) => list.splice(index - 1, 0, ...list.splice(index, 1))) : null;
	const remove = act("Remove", (list) => list.splice(index, 1));
	return element("fieldset", { class: "row" }, element("legend", {}, name[0].toUpperCase() + name.slice(1)), ...columnsOf(field.columns, path, value),
		element("div", { class: "actions" }, up, remove));
}

/* The type of such an object, and what else it has; "" if there is none. */
function typeOf(field, value) {
	return value ? value.type ?? Object.keys(field.variants)[0] : "";
}

function membersOf(field, type) {
	return field.variants[type] || [];
}

function variantOf(field, value) {
	const types = Object.keys(field.variants), type = typeOf(field, value);
	const select = element("select", { name: `${field.path}.type`, onchange: () => changeType(field, select.value) },
		option("", "none"), ...types.map((one) => option(one, one)));
	select.value = type;
	return element("fieldset", { class: "row" }, element("legend", {}, field.label),
		element("label", { class: "field" }, element("span", {}, "Type"), select, faultOf({ path: `${field.path}.type` })),
		...columnsOf(membersOf(field, type), field.path, value), faultOf(field));
}

function rowsOf(field, value) {
	const list = value || [];
	return element("div", { class: "rows" }, ...list.map((one, index) => rowOf(field, one, index)),
		faultOf(field),
		button(`Add a ${field.noun}`, () => changeRows(field, (rows) => rows.push({})), { class: "small" }));
}

function fieldOf(field) {
	const value = read(form.document, field.path);
	if (field.kind === "rows")
		return rowsOf(field, value);
	if (field.kind === "variant")
		return variantOf(field, value);
	return field.kind === "several" ? severalOf(field, value) : labelled(field, value);
}

function draw() {
	const parts = form.sections.map(({ title, fields }, i) =>
		element("details", { open: i < 3 }, element("summary", {}, title), element("div", { class: "fields" }, ...fields.map(fieldOf))));
	const open = [...$("edit-fields").children].map((part) => part.open);
	$("edit-fields").replaceChildren(...parts);
	open.forEach((isOpen, i) => { if (parts[i]) parts[i].open = isOpen; });
}

function changeRows(field, change) {
	takeForm();
	const list = read(form.document, field.path) || [];
	change(list);
	write(form.document, field.path, list);
	form.onRestructured();
	draw();
}

/* What both types have is kept. */
function changeType(field, type) {
	takeForm();
	const old = read(form.document, field.path) || {}, kept = membersOf(field, type).filter(({ name }) => name in old);
	write(form.document, field.path, type ? { type, ...Object.fromEntries(kept.map(({ name }) => [name, old[name]])) } : null);
	form.onRestructured();
	draw();
	$("edit-form").elements.namedItem(`${field.path}.type`).focus();
}

/* A secret that is left empty stays as it is: it is not sent. */
function takeInput({ path, kind, isOptional }) {
	const input = $("edit-form").elements.namedItem(path);
	if (kind === "check")
		return write(form.document, path, input.checked);
	const value = fromText(kind, input.value);
	return write(form.document, path, isOptional && Object.keys(value).length === 0 ? undefined : value);
}

function takeColumns(columns, path) {
	columns.forEach((column) => takeInput({ ...column, path: `${path}.${column.name}` }));
}

function checkedOf(field) {
	return [...$("edit-form").querySelectorAll(`[name="${field.path}"]:checked`)].map((box) => box.value);
}

function takeField(field) {
	if (field.kind === "several")
		return write(form.document, field.path, checkedOf(field));
	const value = read(form.document, field.path);
	if (field.kind === "variant")
		return takeColumns(membersOf(field, typeOf(field, value)), field.path);
	if (field.kind === "rows")
		return (value || []).forEach((row, index) => takeColumns(field.columns, `${field.path}.${index}`));
	return takeInput(field);
}

/* Puts what was typed into the document. */
export function takeForm() {
	form.sections.flatMap((section) => section.fields).forEach(takeField);
}

/* Shows `document`, which takeForm() changes in place. `onRestructured` is called when rows come or go, or a type changes. */
export function showForm(sections, document, onRestructured) {
	form = { sections, document, onRestructured };
	draw();
}
