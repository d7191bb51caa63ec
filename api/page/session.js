/* The token: kept for the tab, or on this device when that is asked for. */

const KEY = "warren-token";

export function token() {
	return sessionStorage.getItem(KEY) || localStorage.getItem(KEY);
}

export function keepToken(value, isLasting) {
	forgetToken();
	(isLasting ? localStorage : sessionStorage).setItem(KEY, value);
}

/* The new one lasts as long as the one that it replaces. */
export function replaceToken(value) {
	keepToken(value, localStorage.getItem(KEY) !== null);
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
