/* The token: kept for the tab, or on this device when that is asked for. */

const KEY = "warren-token";

export function token() {
	return sessionStorage.getItem(KEY) || localStorage.getItem(KEY);
}

/* One that is for the tab leaves alone what other tabs go on with. */
export function keepToken(value, isLasting) {
	if (isLasting)
		forgetToken();
	(isLasting ? localStorage : sessionStorage).setItem(KEY, value);
}

/* The new one is kept wherever the one that it replaces is. */
export function replaceToken(value) {
	const old = token();
	for (const storage of [sessionStorage, localStorage])
		if (storage.getItem(KEY) === old)
			storage.setItem(KEY, value);
}

/* Calls `work` when another tab signs out, or in with another token, and this tab has none of its own. */
export function onOtherTab(work) {
	addEventListener("storage", ({ key, storageArea }) => {
		if (storageArea === localStorage && (key === KEY || key === null) && sessionStorage.getItem(KEY) === null)
			work();
	});
}

export function forgetToken() {
	sessionStorage.removeItem(KEY);
	localStorage.removeItem(KEY);
}

/* `warren ui` prints an address that ends in #token=…. The token signs in, and leaves the address and the history at once. */
export function takeToken() {
	if (!location.hash.startsWith("#token="))
		return false;
	const value = location.hash.slice("#token=".length);
	history.replaceState(null, "", location.pathname + location.search);
	keepToken(value, false);
	return true;
}
