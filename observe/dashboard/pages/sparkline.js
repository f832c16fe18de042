// An element of SVG; undefined properties are left out.
export function svg(tag, props, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(props)) {
    if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// A small curve without axes, as wide as its text says; for lists.
export function sparkline(values, {width = 120, height = 24, label = ''} = {}) {
  const picture = svg('svg', {class: 'sparkline', width, height,
    viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label});
  const known = values.filter((value) => value !== null);
  if (!known.length) return picture;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const x = (i) => 2 + (width - 4) * (values.length > 1 ? i / (values.length - 1) : 0.5);
  const share = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const y = (value) => height - 3 - (height - 6) * share(value);
  const points = values.flatMap((value, i) =>
    value === null ? [] : [`${x(i).toFixed(1)} ${y(value).toFixed(1)}`]);
  const [cx, cy] = points.at(-1).split(' ');
  picture.append(svg('path', {d: 'M' + points.join('L')}), svg('circle', {cx, cy, r: 2}));
  return picture;
}
