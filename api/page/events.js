/* What has happened lately, the newest first. */

import { $, element, fill, soon, viewOf } from "./dom.js";
import { onEvent } from "./feed.js";
import { milliseconds, moment, timeOfDay } from "./format.js";

const KEPT_MOST = 2000, SHOWN_MOST = 300;
const kept = [];   // the newest first

function detailOf(event) {
	switch (event.type) {
	case "tunnel.state":
	case "pool.state": return [event.state, event.reason, event.healing && `trying: ${event.healing}`].filter(Boolean).join(" · ");
	case "tunnel.probe":
		return event.ok ? `${event.received} of ${event.sent} answers, ${milliseconds(event.rtt_avg_ms)}` : `failed: ${event.detail}`;
	case "tunnel.health": return event.healthy === null ? "not known" : event.healthy ? "healthy" : "not healthy";
	case "tunnel.condition": return `${event.condition}${event.holds ? "" : " is over"}: ${event.detail}`;
	case "tunnel.changed": return event.applied.replace("_", " ");
	case "tunnel.handshake": return event.completed ? "completed" : "given up: the peer does not answer";
	case "tunnel.endpoint": return event.endpoint;
	case "node.state": return `${event.node} ${event.state}`;
	case "worker.restarted": return `worker ${event.worker}`;
	case "worker.replacing":
	case "worker.replaced":
	case "worker.replace_failed": return `worker ${event.worker} by worker ${event.successor}${event.detail ? `: ${event.detail}` : ""}`;
	default: return event.reason || event.detail || event.version || "";
	}
}

/* Among those of one tunnel its name is left out. */
export function describeEvent(event, hasObject = true) {
	const object = event.tunnel || event.pool, kind = event.pool ? "pools" : "tunnels";
	const link = object ? element("a", { href: viewOf(kind, object) }, object) : element("span");
	return element("li", {}, element("time", { datetime: event.at, title: moment(event.at), class: "dim" }, timeOfDay(event.at)),
		element("span", { class: "type" }, event.type), hasObject ? link : null, element("span", {}, detailOf(event)));
}

export function eventsOf(tunnel) {
	return kept.filter((event) => event.tunnel === tunnel);
}

export function open() {
	const text = $("events-text").value.trim().toLowerCase(), type = $("events-type").value;
	const textOf = (event) => `${event.tunnel || event.pool || ""} ${event.type} ${detailOf(event)}`.toLowerCase();
	const list = kept.filter((event) => (!type || event.type.startsWith(type)) && (!text || textOf(event).includes(text)));
	fill($("event-list"), `${list[0]?.id} ${list.at(-1)?.id} ${list.length}`, () => list.slice(0, SHOWN_MOST).map((event) => describeEvent(event)));
	$("events-none").hidden = list.length > 0;
}

export function forgetAll() {
	kept.length = 0;
	open();
}

const openSoon = soon(open, 100);

export function init() {
	onEvent((event) => {
		/* Those from before the page come later. */
		const place = kept.findIndex((other) => other.id <= event.id);
		if (kept[place]?.id === event.id)
			return;
		kept.splice(place < 0 ? kept.length : place, 0, event);
		kept.length = Math.min(kept.length, KEPT_MOST);
		if (!$("view-events").hidden)
			openSoon();
	});
	$("events-text").addEventListener("input", open);
	$("events-type").addEventListener("input", open);
}
