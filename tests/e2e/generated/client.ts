/* Takes a tunnel from creation to deletion with the client that openapi-typescript and openapi-fetch make of the OpenAPI document. */

import createClient from "openapi-fetch";
import type { components, paths } from "./warren.js";

declare const process: { argv: string[] };

const [address, token, port, key, peer] = process.argv.slice(2) as [string, string, string, string, string];
const client = createClient<paths>({ baseUrl: `http://${address}`, headers: { Authorization: `Bearer ${token}` } });
const named = { params: { path: { id: "generated" } } };

function check(ok: unknown, what: string, got?: unknown): asserts ok {
	if (!ok)
		throw new Error(`${what}: ${JSON.stringify(got)}`);
}

function input(id: string, inner: string): components["schemas"]["TunnelInput"] {
	return { id, spec: { interface: { addresses: [inner], private_key: key }, proxy: { listen: ["127.0.0.1:0"] },
		peers: [{ public_key: peer, endpoint: `127.0.0.1:${port}`, allowed_ips: ["0.0.0.0/0"] }] } };
}

async function create() {
	const body = input("generated", "10.99.0.2");
	const { data: made } = await client.POST("/v1/tunnels", { params: { query: { wait: "up" } }, body });
	check(made?.applied === "created" && made.status?.state === "up" && made.status.listen.length === 1, "created", made);
	const { error: again } = await client.POST("/v1/tunnels", { body });
	check(again?.code === "tunnel_exists", "a second one is refused", again);
	const { error: bad } = await client.POST("/v1/tunnels", { body: input("bad", "10.99.0.2/99") });
	check(bad?.errors?.[0]?.pointer === "/spec/interface/addresses/0", "a fault has a pointer", bad);
	return made;
}

async function change(etag: string) {
	const { data: list } = await client.GET("/v1/tunnels", { params: { query: { view: "full" } } });
	check(list?.tunnels.map((tunnel) => tunnel.id).join() === "far,generated", "listed", list);
	const patch = { params: { ...named.params, header: { "If-Match": etag } }, body: { labels: { "made-by": "a generator" } },
		headers: { "Content-Type": "application/merge-patch+json" } };
	const { data: changed } = await client.PATCH("/v1/tunnels/{id}", patch);
	check(changed?.labels["made-by"] === "a generator" && changed.etag !== etag, "changed", changed);
	const { error: late } = await client.PATCH("/v1/tunnels/{id}", patch);
	check(late?.code === "precondition_failed", "an old ETag is refused", late);
}

async function* lines(stream: ReadableStream<Uint8Array>) {
	const decoder = new TextDecoder();
	let rest = "";
	for await (const bytes of stream as unknown as AsyncIterable<Uint8Array>) {
		const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n");
		rest = parts.pop()!;
		yield* parts.filter(Boolean);
	}
}

async function readEvents() {
	const ending = new AbortController();
	const { data: stream } = await client.GET("/v1/events", { params: { query: { since: 0 } }, parseAs: "stream", signal: ending.signal,
		headers: { Accept: "application/x-ndjson" } });
	check(stream, "the stream");
	const created: unknown[] = [];
	for await (const line of lines(stream)) {
		const event: components["schemas"]["Event"] = JSON.parse(line);
		if (event.type === "tunnel.created")
			created.push(event.tunnel);
		if (created.length === 2)
			break;
	}
	check(created.join() === "far,generated", "created in this order", created);
	ending.abort();
}

const { data: version } = await client.GET("/v1/version");
check(version?.name === "warren", "the version", version);
const made = await create();
await change(made.etag);
await readEvents();
const { response } = await client.DELETE("/v1/tunnels/{id}", named);
check(response.status === 204, "deleted", response.status);
const { error: gone } = await client.GET("/v1/tunnels/{id}", named);
check(gone?.code === "not_found", "gone", gone);
console.log("done");
