/* Tokens: who may do what. For the admin scope. */

import { ask, askJson, pathOf } from "./api.js";
import { daemonNow } from "./daemon_clock.js";
import { $, alone, button, cellsOf, copyButton, element, fill, setText } from "./dom.js";
import { fromText } from "./fields.js";
import { ago, labelTexts, moment } from "./format.js";
import { attempt, confirm } from "./notice.js";
import { replaceToken } from "./session.js";

const SCOPES = ["metrics", "read", "write", "admin"];

async function revoke(token) {
	const yes = await confirm({ title: `Revoke ${token.name || token.id}?`, text: "Who uses it is refused at once.", yes: "Revoke" });
	if (yes)
		await attempt(async () => { await ask("DELETE", pathOf("tokens", token.id)); await read(); });
}

function lineOf(token) {
	const name = token.name || token.id, labels = labelTexts(token.labels).join(", ");
	const ends = token.expires_at === null ? "never" : moment(token.expires_at);
	const texts = [name, token.scopes.at(-1), labels || "all", ends,
		ago(token.last_used_at && Date.parse(token.last_used_at), daemonNow())];
	const heads = ["Name", "Scope", "Sees", "Ends", "Last used"];
	return element("tr", {}, ...cellsOf(heads, texts),
		element("td", {}, button("Revoke", () => revoke(token), { class: "small danger", "aria-label": `Revoke ${name}` })));
}

async function read() {
	const { tokens } = await ask("GET", "/v1/tokens");
	$("tokens-none").hidden = tokens.length > 0;
	$("tokens-table").hidden = tokens.length === 0;
	fill($("token-lines"), JSON.stringify(tokens), () => tokens.map(lineOf));
}

function showOnce(title, secret) {
	setText($("token-new-title"), title);
	$("token-new-value").replaceChildren(element("code", {}, secret), " ", copyButton(secret));
	$("token-new").hidden = false;
	$("token-new").focus();
}

function forgetSecret() {
	$("token-new").hidden = true;
	$("token-new-value").replaceChildren();
}

/* A label without a value would be another label, and the token would see nothing. */
function labelsOf(text) {
	const wrong = fromText("lines", text).find((label) => !label.includes("="));
	if (wrong)
		throw new Error(`${wrong} is no label. Write key=value.`);
	return fromText("map", text);
}

async function create() {
	const scope = $("token-scope").value, labels = labelsOf($("token-labels").value), ends = $("token-ends").value;
	const made = await askJson("POST", "/v1/tokens", { name: $("token-name").value, scopes: SCOPES.slice(0, SCOPES.indexOf(scope) + 1),
		...(Object.keys(labels).length ? { labels } : {}), ...(ends ? { expires_at: new Date(ends).toISOString() } : {}) });
	$("token-create").reset();
	showOnce(`The token ${made.name || made.id}, shown only now:`, made.token);
	await read();
}

async function rotate() {
	const text = "The old one is refused at once, everywhere. The new one is written to admin.token, and this page uses it.";
	const yes = await confirm({ title: "Replace the admin token?", text, yes: "Replace" });
	if (!yes)
		return;
	const { token } = await ask("POST", "/v1/actions/rotate-token");
	replaceToken(token);
	showOnce("The new admin token:", token);
	dispatchEvent(new Event("token-changed"));
}

export function forgetAll() {
	fill($("token-lines"), "nothing", () => []);
	forgetSecret();
}

export function open() {
	forgetSecret();
	return attempt(read);
}

export function init() {
	$("token-create").addEventListener("submit", alone(() => attempt(create)));
	$("token-rotate").addEventListener("click", () => attempt(rotate));
	$("token-new-close").addEventListener("click", forgetSecret);
}
