/* Which rows are shown, in which order and groups. Without a page around it. */

import { daemonNow } from "./daemon_clock.js";
import { labelTexts } from "./format.js";

const PROBLEM_ORDER = ["failed", "stale", "unhealthy", "handshaking", "starting", "condition"];

const GRACE = 10000;   // milliseconds in which a handshake is no problem yet

/* What is the matter with a row; null: nothing. */
export function problemOf(row, now = daemonNow()) {
	if (row.state === "elsewhere")
		return null;
	if (row.state === "disabled")
		return row.reason === "expired" ? "condition" : null;
	if ((row.state === "starting" || row.state === "handshaking") && now - row.since < GRACE)
		return null;
	if (row.state !== "up")
		return row.state;
	if (row.healthy === false)
		return "unhealthy";
	return row.conditions.length > 0 ? "condition" : null;
}

export function problems(rows) {
	const rank = (row) => PROBLEM_ORDER.indexOf(problemOf(row));
	return rows.filter((row) => problemOf(row) !== null).sort((a, b) => rank(a) - rank(b) || compareIds(a, b));
}

function compareIds(a, b) {
	return a.id < b.id ? -1 : 1;
}

/* Lower case, made once a row. */
export function searchText({ id, listen, labels }) {
	return [id, ...listen, ...labelTexts(labels)].join(" ").toLowerCase();
}

const HEALTHS = { healthy: true, unhealthy: false, unknown: null };

/* `pools` maps a pool's id to the set of its members. */
function isWanted(row, { words, state, health, pool, node }, pools) {
	if (state === "problem" ? problemOf(row) === null : state && row.state !== state)
		return false;
	if (health && row.healthy !== HEALTHS[health])
		return false;
	if (pool && !(pools.get(pool) || new Set()).has(row.id))
		return false;
	if (node && row.node !== node)
		return false;
	return words.every((word) => row.search.includes(word));
}

const COLUMNS = {
	id: (row) => row.id,
	state: (row) => PROBLEM_ORDER.length - Math.max(-1, PROBLEM_ORDER.indexOf(problemOf(row) ?? row.state)),
	health: (row) => (row.healthy === null ? 1 : row.healthy ? 2 : 0),
	rtt: (row) => row.rtt ?? Infinity,
	received: (row) => -row.received,
	sent: (row) => -row.sent,
	handshake: (row) => (row.handshake === null ? Infinity : -row.handshake),
	open: (row) => -row.open,
	address: (row) => row.listen[0] || "\uffff",
	node: (row) => row.node || "\uffff",
};

export function compareBy(column, isReversed) {
	const value = COLUMNS[column], sign = isReversed ? -1 : 1;
	return (a, b) => {
		const left = value(a), right = value(b);
		return left === right ? compareIds(a, b) : left < right ? -sign : sign;
	};
}

/* What the table shows: the rows that are wanted, with a heading { group, rows } before those of each value of the label `group`. */
export function arrange(rows, wanted, pools) {
	const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
	const shown = rows.filter((row) => isWanted(row, { ...wanted, words }, pools)).sort(compareBy(wanted.column, wanted.isReversed));
	if (!wanted.group)
		return { lines: shown, rows: shown };
	const groups = new Map();
	for (const row of shown) {
		const name = Object.hasOwn(row.labels, wanted.group) ? row.labels[wanted.group] : null;
		if (!groups.has(name))
			groups.set(name, []);
		groups.get(name).push(row);
	}
	const names = [...groups.keys()].sort((a, b) => (a === null ? 1 : b === null ? -1 : a < b ? -1 : 1));
	const title = (name) => (name === null ? `without ${wanted.group}` : `${wanted.group}=${name}`);
	return { lines: names.flatMap((name) => [{ group: title(name), rows: groups.get(name) }, ...groups.get(name)]), rows: shown };
}

/* Which lines of equal height a window shows, with some around them. */
export function visibleRange(count, height, top, bottom, extra = 8) {
	const first = Math.max(0, Math.floor(top / height) - extra);
	return [Math.min(first, count), Math.max(0, Math.min(count, Math.ceil(bottom / height) + extra))];
}

export function labelKeys(rows) {
	return [...new Set(rows.flatMap((row) => Object.keys(row.labels)))].sort();
}
