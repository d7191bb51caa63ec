/* The members of a tunnel's and of a pool's document, as fields of a form, and the way between both. Without a page around it. */

import { labelTexts } from "./format.js";

const STRATEGIES = ["round_robin", "random", "least_connections", "lowest_latency", "failover"];
const PROTOCOLS = ["http", "socks5", "socks4"];

const PROXY = [
	{ path: "spec.proxy.listen", label: "Proxy addresses", kind: "lines",
		hint: "One a line: 127.0.0.1:1080, [::1]:0, unix:/path. None: no proxy." },
	{ path: "spec.proxy.protocols", label: "Protocols", kind: "several", values: PROTOCOLS },
	{ path: "spec.proxy.connect_timeout", label: "Connect timeout, s", kind: "number" },
	{ path: "spec.proxy.idle_timeout", label: "Idle timeout, s", kind: "number" },
	{ path: "spec.proxy.allow_private_targets", label: "Private targets are allowed", kind: "check" },
	{ path: "spec.proxy.users", label: "Users", kind: "rows", noun: "user", columns: [
		{ name: "username", label: "Name", kind: "text" },
		{ name: "password", label: "Password", kind: "secret", hint: "empty: as it is" }] },
];

/* The types of `spec.probe` and `spec.interface.obfuscation`, with the members that each has. */
const PROBE_TIMES = [
	{ name: "interval", label: "Every, s", kind: "number", hint: "empty: 10" },
	{ name: "timeout", label: "Timeout, s", kind: "number", hint: "empty: 5" },
	{ name: "unhealthy_after", label: "Failures until unhealthy", kind: "number", hint: "empty: 3" },
];
const PROBES = {
	ping: [{ name: "target", label: "Address", kind: "text" }, ...PROBE_TIMES],
	tcp: [{ name: "target", label: "Host and port", kind: "text" }, ...PROBE_TIMES],
	dns: [{ name: "target", label: "Name", kind: "text" }, ...PROBE_TIMES],
	http: [{ name: "target", label: "URL", kind: "text" }, ...PROBE_TIMES,
		{ name: "expected_status", label: "Expected status", kind: "number", hint: "200, or 200-399" }],
	exit_ip: [{ name: "target", label: "URL that answers with an address", kind: "text" }, ...PROBE_TIMES],
};

const SIZES = { s1: "Before an initiation", s2: "Before a response", s3: "Before a cookie reply", s4: "Before data" };
const HEADS = { h1: "Type of an initiation", h2: "Type of a response", h3: "Type of a cookie reply", h4: "Type of data" };
const TIMES = { rekey_after_time: "New session after, s", rekey_timeout: "Try again after, s", reject_after_time: "Session ends after, s",
	keepalive_timeout: "Keepalive after, s", max_handshake_attempts: "Attempts" };
const columnsOf = (labels, hint) => Object.entries(labels).map(([name, label]) => ({ name, label, kind: "number", hint }));
const OBFUSCATIONS = {
	lwo: [],
	amneziawg: [
		{ name: "jc", label: "Junk datagrams", kind: "number" },
		{ name: "jmin", label: "Junk, at least", kind: "number", hint: "bytes" },
		{ name: "jmax", label: "Junk, at most", kind: "number", hint: "bytes" },
		...columnsOf(SIZES, "bytes"),
		...columnsOf(HEADS, "a number or a range"),
		...["i1", "i2", "i3", "i4", "i5"].map((name, i) => ({ name, label: `Signature packet ${i + 1}`, kind: "text", hint: "tags, such as <b 0x01><r 8>" })),
		{ name: "header_protection_key", label: "Header protection key", kind: "secret", hint: "empty: as it is" },
		{ name: "content_padding_addition", label: "Zeroes after a packet", kind: "number", hint: "a number or a range" },
		...columnsOf(TIMES, "a number or a range; 0: WireGuard's"),
		{ name: "random_trailers", label: "Random trailers", kind: "check" },
		{ name: "disable_cookies", label: "No cookies", kind: "check" }],
};

const RULE = [
	{ name: "action", label: "Action", kind: "one", values: ["members", "reject"] },
	{ name: "domains", label: "Domains", kind: "lines", isOptional: true, hint: "One a line, with all below it. Nothing: all" },
	{ name: "networks", label: "Networks", kind: "lines", isOptional: true, hint: "203.0.113.0/24" },
	{ name: "ports", label: "Ports", kind: "lines", isOptional: true, hint: "443, or 8000-8100" },
	{ name: "users", label: "Users", kind: "lines", isOptional: true },
	{ name: "members.tunnels", label: "Tunnels that serve", kind: "lines", isOptional: true, hint: "Nothing: those of the pool" },
	{ name: "members.labels", label: "Tunnels with these labels", kind: "map", isOptional: true, hint: "One a line: key=value" },
];

const COMMON = [
	{ path: "spec.enabled", label: "Enabled", kind: "check" },
	{ path: "labels", label: "Labels", kind: "map", hint: "One a line: key=value" },
];

export const TUNNEL = [
	{ title: "Tunnel", fields: [...COMMON, { path: "spec.expires_at", label: "Ends at", kind: "text", hint: "2030-01-02T03:04:05Z, or empty" }] },
	{ title: "Interface", fields: [
		{ path: "spec.interface.addresses", label: "Addresses", kind: "lines" },
		{ path: "spec.interface.dns", label: "DNS servers", kind: "lines" },
		{ path: "spec.interface.mtu", label: "MTU", kind: "number" },
		{ path: "spec.interface.listen_port", label: "UDP port, 0: any", kind: "number" },
		{ path: "spec.interface.via", label: "Via", kind: "text", hint: "the id of a tunnel, or empty" },
		{ path: "spec.interface.private_key", label: "Private key", kind: "secret", hint: "empty: as it is" },
		{ path: "spec.interface.obfuscation", label: "Obfuscation", kind: "variant", variants: OBFUSCATIONS }] },
	{ title: "Peers", fields: [{ path: "spec.peers", label: "Peers", kind: "rows", noun: "peer", columns: [
		{ name: "public_key", label: "Public key", kind: "text" },
		{ name: "endpoint", label: "Endpoint", kind: "text" },
		{ name: "allowed_ips", label: "Allowed IPs", kind: "lines" },
		{ name: "persistent_keepalive", label: "Keepalive, s", kind: "number" },
		{ name: "preshared_key", label: "Preshared key", kind: "secret", hint: "empty: as it is" }] }] },
	{ title: "Proxy", fields: PROXY },
	{ title: "Forwards", fields: [{ path: "spec.forwards", label: "Forwards", kind: "rows", noun: "forward", columns: [
		{ name: "name", label: "Name", kind: "text" },
		{ name: "direction", label: "Direction", kind: "one", values: ["outbound", "inbound"] },
		{ name: "protocol", label: "Protocol", kind: "one", values: ["tcp", "udp"] },
		{ name: "listen", label: "Listens at", kind: "text" },
		{ name: "target", label: "Target", kind: "text" }] }] },
	{ title: "Limits (0: none)", fields: [
		{ path: "spec.limits.connections", label: "Connections", kind: "number" },
		{ path: "spec.limits.rx_bits_per_second", label: "Received, bit/s", kind: "number" },
		{ path: "spec.limits.tx_bits_per_second", label: "Sent, bit/s", kind: "number" },
		{ path: "spec.limits.total_bytes", label: "Payload in all, bytes", kind: "number" }] },
	{ title: "Probe", fields: [{ path: "spec.probe", label: "Probe", kind: "variant", variants: PROBES }] },
];

export const POOL = [
	{ title: "Pool", fields: COMMON },
	{ title: "Members", fields: [
		{ path: "spec.members.tunnels", label: "Tunnels, by name", kind: "lines" },
		{ path: "spec.members.labels", label: "Tunnels with all of these labels", kind: "map", hint: "One a line: key=value" },
		{ path: "spec.strategy", label: "Strategy", kind: "one", values: STRATEGIES },
		{ path: "spec.sticky.by", label: "What keeps its tunnel", kind: "one", values: ["none", "client", "user", "session", "target"] },
		{ path: "spec.sticky.ttl", label: "For how long, s", kind: "number" },
		{ path: "spec.retries", label: "Retries", kind: "number" }] },
	{ title: "Proxy", fields: PROXY },
	{ title: "Rules and limits", fields: [
		{ path: "spec.rules", label: "Rules: the first that matches counts", kind: "rows", noun: "rule", isOrdered: true, columns: RULE },
		{ path: "spec.limits.connections", label: "Connections, 0: no limit", kind: "number" }] },
];

/* A value as the text that its field shows. */
export function toText(kind, value) {
	if (value === undefined || value === null)
		return "";
	switch (kind) {
	case "lines": return value.join("\n");
	case "map": return labelTexts(value).join("\n");
	case "secret": return "";
	default: return String(value);
	}
}

function linesOf(text) {
	return text.split(/[\n,]/).map((line) => line.trim()).filter(Boolean);
}

/* And back; `undefined` is a member that is left out. */
export function fromText(kind, text) {
	switch (kind) {
	case "lines": return linesOf(text);
	case "map": return Object.fromEntries(linesOf(text).map((line) => {
		const at = line.indexOf("=");
		return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
	}));
	/* What is no number is sent as it is, so that the API says so at its member; a range is one of a keepalive's forms. */
	case "number": return text.trim() === "" ? undefined : /^-?\d+$/.test(text.trim()) ? Number(text) : text.trim();
	default: return text.trim() === "" ? undefined : text.trim();
	}
}

/* The column that has a member or what is in it: of ["members", "tunnels", "0"] it is "members.tunnels". */
function columnOf(columns, names) {
	const text = `${names.join(".")}.`;
	return columns.find(({ name }) => text.startsWith(`${name}.`))?.name ?? names[0];
}

/* The field that a fault's pointer is about, as the path of a field, "path.index.column" or "path.member". */
export function pathOfPointer(pointer, sections) {
	const names = pointer.split("/").slice(1), all = sections.flatMap((section) => section.fields);
	for (let length = names.length; length > 0; length--) {
		const path = names.slice(0, length).join("."), field = all.find((one) => one.path === path);
		if (!field)
			continue;
		const [index, ...column] = names.slice(length);
		if (field.kind === "rows" && column.length > 0)
			return `${path}.${index}.${columnOf(field.columns, column)}`;
		return field.kind === "variant" && index !== undefined ? `${path}.${index}` : path;
	}
	return null;
}
