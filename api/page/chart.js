/* Graphs with axes and values under the pointer, by dygraphs. */

import { element, setAttribute, setText } from "./dom.js";
import { clock } from "./format.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const WINDOW_LEAST = 300000;   // milliseconds that are shown at least

/* From the first point on, but five minutes at least, so that a history that has just begun is a line, too. */
function windowOf(points) {
	const end = points.at(-1)[0].getTime();
	return [Math.min(points[0][0].getTime(), end - WINDOW_LEAST), end];
}

/* Without its legend, which is markup with styles in it: the content security policy forbids those. */
function makeGraph(plot, points, options) {
	const { Dygraph } = window;
	Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);
	return new Dygraph(plot, points, options);
}

/* `series` is [{ label, colour }], `format` makes a text of a value; `isWhole` if values are counts. */
export function makeChart(title, series, format, isWhole = false) {
	const plot = element("div", { class: "plot", role: "img" }), legend = element("p", { class: "legend dim" });
	const root = element("figure", {}, element("figcaption", {}, title), legend, plot);
	let graph = null, isDark = dark.matches;

	function showValues(at, values) {
		legend.replaceChildren(element("span", {}, at === null ? "" : clock(at)), ...series.map(({ label, colour: name }, i) =>
			element("span", { class: name }, `${label} ${values[i] === null || values[i] === undefined ? "–" : format(values[i])}`)));
	}

	function options() {
		return {
			labels: ["time", ...series.map(({ label }) => label)], colors: series.map(({ colour: name }) => colour(name)),
			fillGraph: series.length > 1, fillAlpha: 0.12, strokeWidth: 1.5, includeZero: true, axisLabelFontSize: 12, axisLabelWidth: 76,
			gridLineColor: colour("line"), axisLineColor: colour("line"), highlightCircleSize: 3, pointSize: 2, animatedZooms: false,
			axes: {
				x: { axisLabelWidth: 60 },
				y: { axisLabelFormatter: (value) => (isWhole && !Number.isInteger(value) ? "" : format(value)), pixelsPerLabel: 26 },
			},
			highlightCallback: (event, x, points) =>
				showValues(x, series.map(({ label }) => points.find((point) => point.name === label)?.yval)),
			unhighlightCallback: showLatest,
		};
	}

	let latest = [];
	function showLatest() {
		const last = latest.at(-1);
		showValues(null, last ? last.slice(1) : []);
	}

	function inWords({ label }, i) {
		const values = latest.map((point) => point[i + 1] ?? 0);
		return `${label} now ${format(values.at(-1))}, highest ${format(Math.max(...values))}`;
	}

	function draw() {
		if (graph && isDark === dark.matches)
			return graph.updateOptions(graph.isZoomed("x") ? { file: latest } : { file: latest, dateWindow: windowOf(latest) });
		graph?.destroy();
		plot.replaceChildren();
		isDark = dark.matches;
		graph = makeGraph(plot, latest, { ...options(), dateWindow: windowOf(latest) });
		return graph;
	}

	return {
		root,
		/* `points` are [milliseconds, value, …], a value may be null. */
		update(points) {
			latest = points.map(([at, ...values]) => [new Date(at), ...values]);
			setAttribute(plot, "aria-label", `${title}: ${points.length > 0 ? series.map(inWords).join("; ") : "nothing yet"}`);
			plot.classList.toggle("nothing", points.length === 0 || !window.Dygraph);
			if (points.length === 0) {
				graph?.destroy();
				graph = null;
				setText(plot, "Nothing in the last hour.");
			} else if (!window.Dygraph) {
				setText(plot, "This warrend was built without dygraphs, which draws the graph.");
			} else if (plot.isConnected) {
				draw();
			}
			showLatest();
		},
		destroy() {
			graph?.destroy();
		},
	};
}

const POINTS_MOST = 360;   // that the daemon keeps

/* One point at the end of each step. A history that has just begun was preceded by nothing. */
export function pointsOf(history, ...names) {
	if (history.since === null)
		return [];
	const since = Date.parse(history.since), before = history.step * 1000;
	const nothing = names.map((name) => (name === "rtt_ms" ? null : 0)), isWhole = history[names[0]].length >= POINTS_MOST;
	const points = history[names[0]].map((value, i) => [since + (i + 1) * history.step * 1000, ...names.map((name) => history[name][i])]);
	return isWhole ? points : [[since - before, ...nothing], [since, ...nothing], ...points];
}
