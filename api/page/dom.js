/* Elements, whose contents are always text and never markup. */

export const $ = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (name.startsWith("on"))
			node.addEventListener(name.slice(2), value);
		else if (value !== undefined && value !== null && value !== false)
			node.setAttribute(name, value === true ? "" : value);
	}
	node.append(...children.filter((child) => child !== null && child !== undefined));
	return node;
}

export function button(text, onclick, attributes = {}) {
	return element("button", { type: "button", onclick, ...attributes }, text);
}

/* Leaves alone what is right already, so that screen readers and selections are not disturbed. */
export function setText(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

export function setAttribute(node, name, value) {
	if (node.getAttribute(name) !== value)
		node.setAttribute(name, value);
}

/* Replaces the children only when `key` differs from the last time. A button that had the focus gives it to the one of the same name. While one is
 * pressed nothing is replaced until the next time, because a click is lost whose button goes before it is released. */
export function fill(node, key, make) {
	if (node.filledWith === key || node.querySelector(":active"))
		return;
	const name = node.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
	node.filledWith = key;
	node.replaceChildren(...make());
	if (name !== null)
		[...node.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === name)?.focus({ preventScroll: true });
}

export function option(value, text) {
	return element("option", { value }, text);
}

/* The address of the view of one tunnel or pool. */
export function viewOf(kind, id) {
	return `#/${kind}/${encodeURIComponent(id)}`;
}

export function copyButton(text) {
	const node = button("Copy", async () => {
		try {
			await navigator.clipboard.writeText(text);
			setText(node, "Copied");
		} catch {
			setText(node, "Failed");
		}
		setTimeout(() => setText(node, "Copy"), 1500);
	}, { class: "small", "aria-label": `Copy ${text}` });
	return node;
}

/* The heads of a list's columns, and the cells of one of its lines. The column of its buttons has a name only for screen readers. */
export function headsOf(names) {
	return names.map((name) => element("th", { scope: "col", "data-name": name }, name || element("span", { class: "unseen" }, "Actions")));
}

export function cellsOf(names, contents) {
	return contents.map((content, i) => element("td", { "data-name": names[i] }, content));
}

/* Handles an event with `work`, unless an earlier one is still being handled: what is pressed twice acts once. */
export function alone(work) {
	let isRunning = false;
	return async (event) => {
		event.preventDefault();
		if (isRunning)
			return;
		isRunning = true;
		try {
			await work(event);
		} finally {
			isRunning = false;
		}
	};
}

/* Of calls of `read` that overlap, what the newest one gives is handed to `take`. What an older one gives is old, and so is its failure. */
export function newestOf(read, take) {
	let newest = 0;
	return async () => {
		const own = ++newest;
		try {
			const result = await read();
			if (own === newest)
				take(result);
			return result;
		} catch (error) {
			if (own === newest)
				throw error;
			return undefined;
		}
	};
}

/* Calls `work` once, after a while, however often it is asked. */
export function soon(work, milliseconds) {
	let timer = 0;
	return () => {
		timer ||= setTimeout(() => { timer = 0; work(); }, milliseconds);
	};
}

/* Ends early when `signal`, if there is one, aborts. */
export function pause(milliseconds, signal) {
	return new Promise((resolve) => {
		const timer = setTimeout(end, milliseconds);
		function end() {
			clearTimeout(timer);
			signal?.removeEventListener("abort", end);
			resolve();
		}
		signal?.addEventListener("abort", end);
	});
}
