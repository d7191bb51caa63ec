/* A tunnel as a wg-quick file with its keys, to download and as a QR code. Made in the browser, after a question. */

import { fetchFrom, pathOf } from "./api.js";
import { $, setText } from "./dom.js";
import { attempt, confirm } from "./notice.js";

const QUIET = 4;   // modules around a code, by ISO 18004
let address = "";  // of the file that is shown

/* Black on white, whatever the colours of the page are: readers want that. False if the file is too long for a code. */
function drawCode(canvas, text) {
	const code = window.qrcode(0, "L");
	code.addData(String.fromCharCode(...new TextEncoder().encode(text)), "Byte");
	try {
		code.make();
	} catch {
		return false;
	}
	const count = code.getModuleCount(), width = count + 2 * QUIET, context = canvas.getContext("2d");
	canvas.width = canvas.height = width;
	context.fillStyle = "#fff";
	context.fillRect(0, 0, width, width);
	context.fillStyle = "#000";
	for (let y = 0; y < count; y++)
		for (let x = 0; x < count; x++)
			if (code.isDark(y, x))
				context.fillRect(x + QUIET, y + QUIET, 1, 1);
	return true;
}

function forgetFile() {
	URL.revokeObjectURL(address);
	$("export-link").removeAttribute("href");
	$("export-code").width = 0;
}

async function open(id) {
	const file = await (await fetchFrom("GET", pathOf("tunnels", id, "/config?include_secrets=true"))).text(), link = $("export-link");
	forgetFile();
	address = URL.createObjectURL(new Blob([file], { type: "text/plain" }));
	setText($("export-title"), `${id}.conf`);
	link.href = address;
	link.download = `${id}.conf`;
	const fits = drawCode($("export-code"), file);
	$("export-code").hidden = !fits;
	$("export-too-long").hidden = fits;
	$("export").showModal();
}

export async function exportTunnel(id) {
	const yes = await confirm({ title: `Export ${id} with its private key?`, yes: "Show it", isDangerous: false,
		text: "Who has the file or sees the code can use the tunnel. Two devices with the same key end each other's sessions." });
	if (yes)
		await attempt(() => open(id));
}

export function init() {
	$("export-close").addEventListener("click", () => $("export").close());
	$("export").addEventListener("close", () => { if (!$("export").open) forgetFile(); });
}
