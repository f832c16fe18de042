// The address is the view: "#/RUN/PAGE?key=value&…" holds everything that a link must carry.

export const kPages = ['overview', 'samples', 'why', 'compare', 'system'];

// What stays when one goes from page to page.
const kShared = ['with', 'smooth', 'zoom', 'log', 'step'];

function decode(text) {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;  // a stray "%"
  }
}

// These read better as they are, and are allowed behind the "#".
const encode = (text) =>
  encodeURIComponent(text).replace(/%(2F|2C|3A|40|20)/g, (code) =>
    code === '%20' ? '+' : decodeURIComponent(code));

export function parseLocation(hash) {
  const text = hash.replace(/^#?\/?/, '');
  const cut = text.indexOf('?');
  const path = (cut < 0 ? text : text.slice(0, cut)).split('/').map(decode);
  const params = {};
  for (const pair of cut < 0 ? [] : text.slice(cut + 1).split('&')) {
    const equals = pair.indexOf('=');
    if (equals > 0) params[decode(pair.slice(0, equals))] = decode(pair.slice(equals + 1));
  }
  return {run: path[0] ?? '', page: kPages.includes(path[1]) ? path[1] : kPages[0], params};
}

export function formatLocation({run, page, params = {}}) {
  if (!run) return '#/';
  const query = Object.entries(params)
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([key, value]) => `${encode(key)}=${encode(String(value))}`)
    .join('&');
  return `#/${encodeURIComponent(run)}/${page}${query ? '?' + query : ''}`;
}

// The address of a page of the same run, seen the same way.
export function pageLocation(here, page, params = {}) {
  const kept = Object.fromEntries(kShared.map((key) => [key, here.params[key]]));
  return {run: here.run, page, params: {...kept, ...params}};
}

// "100-300" as numbers, null where it is no range.
export function parseRange(text) {
  const match = /^(-?[\d.]+)-([\d.]+)$/.exec(text ?? '');
  if (!match) return null;
  const [low, high] = [Number(match[1]), Number(match[2])];
  return high > low ? [low, high] : null;
}
