/* Requests to the REST API, with the token that the session keeps. */

import { token } from "./session.js";

export class Problem extends Error {
	constructor(status, body) {
		super(body.detail || body.title || `HTTP ${status}`);
		this.status = status;
		this.code = body.code || "";
		this.faults = body.errors || [];
	}
}

export function headersWith(more) {
	return token() ? { ...more, Authorization: `Bearer ${token()}` } : { ...more };
}

async function send(path, options) {
	try {
		return await fetch(path, options);
	} catch (error) {
		throw error.name === "TypeError" ? new Error("The daemon cannot be reached.") : error;
	}
}

/* The response, or a Problem is thrown. */
export async function fetchFrom(method, path, { type, body, signal, headers = {} } = {}) {
	const all = headersWith(type ? { ...headers, "Content-Type": type } : headers);
	const response = await send(path, { method, headers: all, body, signal, cache: "no-store", redirect: "manual" });
	/* A page may not ask another host. */
	if (response.type === "opaqueredirect")
		throw new Problem(307, { detail: "Another node of the fleet runs this, and only its own page can ask it." });
	if (!response.ok)
		throw new Problem(response.status, await response.json().catch(() => null) ?? {});
	return response;
}

/* The answer's JSON; null without one. */
export async function ask(method, path, options) {
	const response = await fetchFrom(method, path, options);
	return response.status === 204 ? null : response.json().catch(() => { throw new Error("The reply of the daemon was cut off."); });
}

export function askJson(method, path, value, headers) {
	return ask(method, path, { type: "application/json", body: JSON.stringify(value), headers });
}

export function patch(path, value, headers) {
	return ask("PATCH", path, { type: "application/merge-patch+json", body: JSON.stringify(value), headers });
}

export function pathOf(kind, id, part = "") {
	return `/v1/${kind}/${encodeURIComponent(id)}${part}`;
}

/* All pages of a list. */
export async function* pages(path, member) {
	let next = "";
	do {
		const page = await ask("GET", `${path}${path.includes("?") ? "&" : "?"}page_size=1000${next && `&page_token=${next}`}`);
		yield page[member];
		next = page.next_page_token;
	} while (next);
}
