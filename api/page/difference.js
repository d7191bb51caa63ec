/* What differs between two documents, and where a member stands in a JSON text. Without a page around it. */

function isObject(value) {
	return value !== null && typeof value === "object" && !Array.isArray(value);
}

function same(a, b) {
	return JSON.stringify(a) === JSON.stringify(b);
}

function escape(key) {
	return key.replace(/~/g, "~0").replace(/\//g, "~1");
}

/* [{ pointer, before, after }], `undefined` where there is no such member. Lists of other lengths differ as a whole. */
export function differences(before, after, pointer = "") {
	if (same(before, after))
		return [];
	const areLists = Array.isArray(before) && Array.isArray(after) && before.length === after.length && before.some(isObject);
	if (!areLists && !(isObject(before) && isObject(after)))
		return [{ pointer, before, after }];
	const keys = areLists ? before.map((value, i) => String(i)) : [...new Set([...Object.keys(before), ...Object.keys(after)])];
	return keys.flatMap((key) => differences(before[key], after[key], `${pointer}/${escape(key)}`));
}

/* The position [start, end] of the value that an RFC 6901 pointer names, or of what is nearest above it; null if the text is not JSON. */
export function locate(text, pointer) {
	const path = namesOf(pointer);
	let at = 0, found = null, depth = -1;

	function space() {
		while (/\s/.test(text[at] ?? ""))
			at++;
	}

	function string() {
		const start = at;
		for (at++; at < text.length && text[at] !== "\""; at++)
			if (text[at] === "\\")
				at++;
		at++;
		return JSON.parse(text.slice(start, at));
	}

	/* `matched` is how many members of the path lead here, or -1 off the path. */
	function value(matched) {
		space();
		const start = at;
		if (text[at] === "{" || text[at] === "[")
			members(matched, text[at] === "{");
		else if (text[at] === "\"")
			string();
		else
			while (at < text.length && !/[\s,\]}]/.test(text[at]))
				at++;
		if (matched > depth) {
			depth = matched;
			found = [start, at];
		}
	}

	function members(matched, isNamed) {
		at++;
		for (let index = 0; ; index++) {
			space();
			if (at >= text.length || text[at] === "}" || text[at] === "]")
				break;
			let key = String(index);
			if (isNamed) {
				key = string();
				space();
				at++;
			}
			value(matched >= 0 && path[matched] === key ? matched + 1 : -1);
			space();
			if (text[at] === ",")
				at++;
		}
		at++;
	}

	try {
		JSON.parse(text);
	} catch {
		return null;
	}
	value(0);
	return found;
}

/* The names that a pointer leads through. */
export function namesOf(pointer) {
	return pointer.split("/").slice(1).map((name) => name.replace(/~1/g, "/").replace(/~0/g, "~"));
}

/* A member's value, by its names, or by a text of them with dots; `undefined` if there is none. */
export function read(document, path) {
	return (Array.isArray(path) ? path : path.split(".")).reduce((value, name) => value?.[name], document);
}

/* Sets it, and makes the objects on the way; `undefined` removes it, and an object, which is no item of a list, that has nothing left. */
export function write(document, path, value) {
	const names = Array.isArray(path) ? [...path] : path.split("."), last = names.pop();
	let place = document;
	for (const name of names) {
		if (!isObject(place[name]) && !Array.isArray(place[name])) {
			if (value === undefined)
				return;
			place[name] = {};
		}
		place = place[name];
	}
	if (value !== undefined) {
		place[last] = value;
		return;
	}
	delete place[last];
	if (names.length > 0 && Object.keys(place).length === 0 && isObject(read(document, names.slice(0, -1))))
		write(document, names, undefined);
}
