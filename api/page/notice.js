/* What went wrong, what a change warned of, and questions before what cannot be undone. */

import { $, element, setText } from "./dom.js";

let onUnauthorized = () => {};
let answer = () => {};   // of the question that was asked last

export function whenUnauthorized(work) {
	onUnauthorized = work;
}

export function tell(text) {
	$("message").hidden = !text;
	setText($("message-text"), text || "");
}

export function tellProblem(error) {
	if (error.status === 401)
		onUnauthorized("The token is not valid.");
	else if (error.name !== "AbortError")
		tell(error.message);
}

export function note(lines) {
	$("note").hidden = lines.length === 0;
	$("note-lines").replaceChildren(...lines.map((line) => element("li", {}, line)));
}

export function noteWarnings(object) {
	const place = (warning) => (warning.line === undefined ? object.id : `${object.id}, line ${warning.line}`);
	note((object.warnings || []).map((warning) => `${place(warning)}: ${warning.detail}`));
}

/* Runs what a button does, and shows its failure. */
export async function attempt(work) {
	try {
		tell("");
		return await work();
	} catch (error) {
		tellProblem(error);
		return undefined;
	}
}

/* Asks in a dialog; true if the answer is `yes`. The names of what is affected are listed, or the first of them. */
export function confirm({ title, text, names = [], yes, isDangerous = true }) {
	const dialog = $("question"), most = 20;
	setText($("question-title"), title);
	setText($("question-text"), text);
	const rest = names.length > most ? [`and ${names.length - most} more`] : [];
	$("question-names").replaceChildren(...[...names.slice(0, most), ...rest].map((name) => element("li", {}, name)));
	setText($("question-yes"), yes);
	$("question-yes").className = isDangerous ? "danger" : "primary";
	dialog.showModal();
	return new Promise((resolve) => { answer = resolve; });
}

export function init() {
	$("note-close").addEventListener("click", () => note([]));
	$("message-close").addEventListener("click", () => tell(""));
	$("question-form").addEventListener("submit", (event) => answer(event.submitter.value === "yes"));
	/* Told in a task of its own: by then the next question may be open, which is not answered by it. */
	$("question").addEventListener("close", () => { if (!$("question").open) answer(false); });
}
