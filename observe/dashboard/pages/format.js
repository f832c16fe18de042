// Numbers, times and sizes as people read them, with their units.

const kNone = '–';
const kThin = '\u2009';  // between a number and its unit, and between thousands
const kMinus = '\u2212';

const isNumber = (x) => typeof x === 'number' && Number.isFinite(x);

// Three significant digits: "0.584", "52.1", "7 782", "1.2e−5".
export function number(x, digits = 3) {
  if (!isNumber(x)) return kNone;
  if (x === 0) return '0';
  const size = Number(Math.abs(x).toPrecision(Math.max(digits, 1)));
  const sign = x < 0 ? kMinus : '';
  if (size < 1e-4) return sign + size.toExponential(1).replace('-', kMinus).replace('.0e', 'e');
  if (size >= 1e9) return sign + size.toExponential(2).replace('+', '');
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  let text = size.toFixed(decimals);
  if (Number.isInteger(x)) text = String(Math.abs(x));
  return sign + text.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, kThin);
}

// Without the zeros that only a table needs.
export const plain = (x) => number(x).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');

export function signed(x, digits = 3) {
  if (!isNumber(x)) return kNone;
  return x > 0 ? '+' + number(x, digits) : number(x, digits);
}

// The difference of two values of a unit.
export function change(x, unit) {
  if (!isNumber(x)) return kNone;
  if (unit === 'share') return signed(x * 100, 2) + ' points';
  return signed(x, 2) + (unit === 's' ? kThin + 's' : '');
}

export function percent(x) {
  if (!isNumber(x)) return kNone;
  const value = x * 100;
  const size = Math.abs(value);
  const decimals = size === 0 || size >= 99.95 ? 0 : size < 0.1 ? 3 : size < 1 ? 2 : 1;
  return value.toFixed(decimals).replace('-', kMinus) + kThin + '%';
}

export function seconds(s) {
  if (!isNumber(s)) return kNone;
  if (s < 0.001) return number(s * 1e6, 2) + kThin + 'µs';
  if (s < 1) return number(s * 1e3, 2) + kThin + 'ms';
  if (s < 100) return number(s) + kThin + 's';
  const minutes = Math.round(s / 60);
  if (minutes < 100) return minutes + kThin + 'min';
  return `${Math.floor(minutes / 60)}${kThin}h ${String(minutes % 60).padStart(2, '0')}${kThin}min`;
}

export function bytes(n) {
  if (!isNumber(n)) return kNone;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (Math.abs(n) >= 1024 && unit < units.length - 1) {
    n /= 1024;
    ++unit;
  }
  return number(n) + kThin + units[unit];
}

// "28 Nov, 08:31", of an ISO time in UTC, where the reader is.
export function time(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return kNone;
  return date.toLocaleString('en-GB', {
    day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit'});
}

export function ago(iso, now = Date.now()) {
  const past = (now - new Date(iso).getTime()) / 1000;
  if (Number.isNaN(past)) return kNone;
  if (past < 5) return 'now';
  if (past < 100) return Math.round(past) + kThin + 's ago';
  if (past < 5400) return Math.round(past / 60) + kThin + 'min ago';
  if (past < 36 * 3600) return Math.round(past / 3600) + kThin + 'h ago';
  return Math.round(past / 86400) + ' days ago';
}

export function plural(n, one, many = one + 's') {
  return `${number(n)} ${n === 1 ? one : many}`;
}

// By the unit of a curve.
export function value(x, unit) {
  if (unit === 'share') return percent(x);
  if (unit === 's') return isNumber(x) && x === 0 ? `0${kThin}s` : seconds(x);
  if (unit === 'bytes') return bytes(x);
  return number(x);
}

// Shorter, for the ticks of an axis.
export function tick(x, unit) {
  if (unit === 'share') return number(x * 100, 2) + kThin + '%';
  if (unit === 'bytes') return bytes(x);
  const size = Math.abs(x);
  if (size >= 1e6) return number(x / 1e6, 2) + kThin + 'M';
  if (size >= 1e4) return number(x / 1e3, 2) + kThin + 'k';
  return size >= 1e-4 ? String(Number(x.toPrecision(6))).replace('-', kMinus) : number(x, 2);
}
