// Where the reader is, and how to get elsewhere. Everything on a page follows the address.
import {formatLocation, pageLocation, parseLocation} from './url_state.js';

let here = parseLocation(location.hash);
let changed = () => {};

export const at = () => here;
export const param = (name, otherwise = '') => here.params[name] ?? otherwise;

// Links to another page of this run, and to this page seen otherwise (null removes a parameter).
export const pageLink = (page, params) => formatLocation(pageLocation(here, page, params));
export const viewLink = (params) =>
  formatLocation({...here, params: {...here.params, ...params}});
export const runLink = (run, page = 'overview') => formatLocation({run, page});

// `replace` leaves no entry in the history: for what changes many times, like a zoom.
export function go(link, {replace = false} = {}) {
  if (link === location.hash) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', link);
  arrive();
}

export const setView = (params, options) => go(viewLink(params), options);

function arrive() {
  here = parseLocation(location.hash);
  changed();
}

export function followAddress(callback) {
  changed = callback;
  addEventListener('hashchange', arrive);
  addEventListener('popstate', arrive);
  callback();
}
