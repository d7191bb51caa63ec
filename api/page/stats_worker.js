/* Reads the statistics beside the page: those of ten thousand tunnels are 15 MB of JSON, whose parsing would make scrolling stutter. */

function lineOf(tunnel) {
	const { id, state, health, last_handshake_at: handshake } = tunnel;
	return [id, state, health.healthy, health.probe?.rtt_ms ?? null, tunnel.throughput_sent, tunnel.throughput_received,
		handshake && Date.parse(handshake), tunnel.connections_open];
}

onmessage = async ({ data: { number, path, headers } }) => {
	try {
		const response = await fetch(path, { headers, cache: "no-store" });
		if (!response.ok)
			throw new Error(`HTTP ${response.status}`);
		const { tunnels, totals: all } = await response.json();
		const totals = { sent: all.throughput_sent, received: all.throughput_received, open: all.connections_open };
		postMessage({ number, stats: { tunnels: tunnels.map(lineOf), totals } });
	} catch {
		postMessage({ number, stats: null });   // the event stream reports a lost connection
	}
};
