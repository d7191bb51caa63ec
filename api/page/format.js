/* Numbers and times as people read them. */

function scaled(value, units) {
	let at = 0;
	for (; value >= 999.95 && at < units.length - 1; at++)
		value /= 1000;
	return `${at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

export function rate(bits) {
	return scaled(bits, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
}

export function size(bytes) {
	return scaled(bytes, ["B", "kB", "MB", "GB", "TB", "PB"]);
}

export function milliseconds(value) {
	if (value === null || value === undefined)
		return "–";
	return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

export function duration(seconds) {
	if (seconds < 90)
		return `${Math.max(0, Math.round(seconds))} s`;
	if (seconds < 5400)
		return `${Math.round(seconds / 60)} min`;
	return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

/* `at` is in milliseconds, or null. */
export function ago(at, now) {
	return at === null || at === undefined ? "never" : `${duration((now - at) / 1000)} ago`;
}

export function clock(at) {
	return new Date(at).toLocaleTimeString();
}

/* With the day, if it is another. */
export function timeOfDay(at, now = Date.now()) {
	return new Date(at).toDateString() === new Date(now).toDateString() ? clock(at) : moment(at);
}

export function moment(at) {
	return new Date(at).toLocaleString();
}

/* The address of a page that may be made a link: another node wrote it, and a browser runs what some schemes name. Null if it is none. */
export function webAddress(text) {
	const isWeb = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
	return isWeb ? text : null;
}

export function amount(count) {
	return count.toLocaleString("en");
}

export function plural(count, noun) {
	return `${amount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function labelTexts(labels) {
	return Object.entries(labels).map((label) => label.join("="));
}

/* `healthy` is null where nothing is known. */
export function health(healthy) {
	return healthy === null ? "–" : healthy ? "healthy" : "unhealthy";
}
