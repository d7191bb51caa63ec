/* Starts the page: who is signed in, and which view the address names. */

import { Problem } from "./api.js";
import * as bulk from "./bulk.js";
import * as connections from "./connections.js";
import * as createDialog from "./create.js";
import * as detail from "./detail.js";
import { $, pause, setAttribute, setText } from "./dom.js";
import * as editor from "./edit.js";
import * as events from "./events.js";
import * as exporter from "./export.js";
import * as feed from "./feed.js";
import { clock, moment } from "./format.js";
import { can, onChange, pools as knownPools, rows, state } from "./model.js";
import * as nodes from "./nodes.js";
import * as notice from "./notice.js";
import * as overview from "./overview.js";
import * as pools from "./pools.js";
import { forgetToken, keepToken, onOtherTab, takeToken, token } from "./session.js";
import * as table from "./table.js";
import * as tokens from "./tokens.js";

/* ---- views ---- */

const VIEWS = { tunnels: null, pools, connections, events, nodes, tokens };
let view = "tunnels";

/* The view and the object that the address names; none if it is malformed. */
function namesInAddress() {
	try {
		return location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
	} catch {
		return [];
	}
}

function isSignedIn() {
	return state.caller.scopes.length > 0;
}

/* `isFresh` after signing in: then the view is opened even if it is the one that is shown. */
function route(isFresh = false) {
	const [name, id] = namesInAddress();
	const old = view;
	view = Object.hasOwn(VIEWS, name) ? name : "tunnels";
	for (const one of Object.keys(VIEWS)) {
		const link = document.querySelector(`nav a[href="#/${one === "tunnels" ? "" : one}"]`);
		setAttribute(link, "aria-current", one === view ? "page" : "false");
	}
	if (old !== view)
		VIEWS[old]?.close?.();
	if (view !== "tunnels" || !id)
		detail.close();
	else if (isSignedIn())
		detail.open(id);
	if (isSignedIn() && (isFresh || old !== view || view === "pools"))
		VIEWS[view]?.open?.(id);
	update();
}

/* ---- the connection ---- */

function updateLink() {
	const isLost = state.lostAt !== null;
	setText($("link"), isLost ? "connection lost" : state.isLive ? "live" : isSignedIn() || $("sign-in").hidden ? "connecting" : "signed out");
	setAttribute($("link"), "class", `chip ${isLost ? "lost" : state.isLive ? "live" : ""}`);
	document.body.classList.toggle("lost-link", isLost);
	$("lost").hidden = !isLost;
	if (isLost)
		setText($("lost"), `The connection to the daemon was lost at ${clock(state.lostAt)}. What is shown is from then. Trying again …`);
}

function update() {
	updateLink();
	for (const one of Object.keys(VIEWS))
		$(`view-${one}`).hidden = one !== view || !isSignedIn();
	$("views").hidden = !isSignedIn();
	createDialog.update();
	$("nav-tokens").hidden = !can("admin");
	$("nav-nodes").hidden = state.nodes.length === 0;
	const { name, scopes } = state.caller, scope = scopes.at(-1) || "";
	setText($("who"), name && name !== scope ? `${name}, ${scope}` : scope);
	setText($("version"), state.version ? ` · warren ${state.version}` : "");
	setText($("uptime"), state.info ? ` · on ${state.info.node} since ${moment(state.startedAt)}` : "");
	if (view === "tunnels") {
		overview.update();
		table.update();
	} else {
		VIEWS[view].update?.();
	}
}

/* ---- signing in ---- */

function signIn(why) {
	attempts++;
	feed.stop();
	state.caller = { name: "", scopes: [], labels: {} };
	state.lostAt = null;
	$("sign-in").hidden = false;
	$("sign-out").hidden = true;
	setText($("token-message"), token() ? why : "");
	if (!$("token-dialog").open)
		$("token-dialog").showModal();
	update();
}

async function start() {
	await feed.start(signIn);
	$("sign-out").hidden = !token();
	$("sign-in").hidden = true;
	if ($("token-dialog").open)
		$("token-dialog").close();
	route(true);
}

/* Again and again while the daemon cannot be reached or is too busy, until the next one begins. */
let attempts = 0;
async function tryToStart() {
	const own = ++attempts;
	for (let wait = 1000; own === attempts; wait = Math.min(wait * 2, 15000)) {
		try {
			return await start();
		} catch (error) {
			if (error instanceof Problem && error.status < 500 && error.status !== 429)
				return notice.tellProblem(error);
		}
		state.lostAt ??= Date.now();
		updateLink();
		await pause(wait);
	}
	return undefined;
}

/* Nothing of what the token let be seen stays, in the dialogs neither. */
function leave() {
	rows.clear();
	knownPools.clear();
	for (const part of [events, connections, tokens])
		part.forgetAll();
	$("create-form").reset();
	state.isLoaded = false;
	state.info = null;
	state.nodes = [];
	notice.note([]);
	notice.tell("");
	detail.close();
	location.hash = "#/";
	document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
	signIn("");
}

function signOut() {
	forgetToken();
	leave();
}

function init() {
	for (const part of [notice, table, bulk, createDialog, detail, editor, exporter, connections, events, pools, tokens])
		part.init();
	table.whenSelected(bulk.update);
	notice.whenUnauthorized(signIn);
	onChange(update);
	setInterval(updateLink, 1000);
	$("token-form").addEventListener("submit", () => {
		keepToken($("token").value.trim(), $("token-stay").checked);
		$("token-form").reset();
		tryToStart();
	});
	$("sign-in").addEventListener("click", () => signIn(""));
	$("sign-out").addEventListener("click", signOut);
	onOtherTab(() => (token() ? tryToStart() : leave()));
	addEventListener("token-changed", tryToStart);
	addEventListener("hashchange", () => (takeToken() ? tryToStart() : route()));
}

takeToken();
init();
route();
tryToStart();
