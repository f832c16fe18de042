const kSvg = 'http://www.w3.org/2000/svg';

// A small curve without axes, as wide as its text says; for lists.
export function sparkline(values, {width = 120, height = 24, label = ''} = {}) {
  const svg = document.createElementNS(kSvg, 'svg');
  for (const [name, value] of Object.entries({
    class: 'sparkline', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img',
    'aria-label': label})) svg.setAttribute(name, value);
  const known = values.filter((value) => value !== null);
  if (!known.length) return svg;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const x = (i) => 2 + (width - 4) * (values.length > 1 ? i / (values.length - 1) : 0.5);
  const share = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const y = (value) => height - 3 - (height - 6) * share(value);
  const points = values.flatMap((value, i) =>
    value === null ? [] : [`${x(i).toFixed(1)} ${y(value).toFixed(1)}`]);
  const path = document.createElementNS(kSvg, 'path');
  path.setAttribute('d', 'M' + points.join('L'));
  const end = document.createElementNS(kSvg, 'circle');
  const [endX, endY] = points.at(-1).split(' ');
  for (const [name, value] of Object.entries({cx: endX, cy: endY, r: 2})) {
    end.setAttribute(name, value);
  }
  svg.append(path, end);
  return svg;
}
