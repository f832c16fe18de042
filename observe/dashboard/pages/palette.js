// The colours of curves, told apart by people who see few colours too; base.css holds them for
// light and dark.
const kCurves = 8;
let cache = null;

function resolve(variables) {
  const probe = document.createElement('span');
  document.body.append(probe);
  const colors = variables.map((name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return colors;
}

addEventListener('themechange', () => { cache = null; });

// {curves: [...], ink, faint, grid, accent, paper} as canvas and SVG take them.
export function palette() {
  if (cache) return cache;
  const curves = resolve(Array.from({length: kCurves}, (_, i) => `--c${i + 1}`));
  const [ink, faint, grid, accent, paper, warn] =
    resolve(['--ink', '--faint', '--grid', '--accent', '--paper', '--warn']);
  cache = {curves, ink, faint, grid, accent, paper, warn};
  return cache;
}

export const curveVariable = (i) => `var(--c${i % kCurves + 1})`;
export const curveColor = (i) => palette().curves[i % kCurves];

// "rgb(1, 2, 3)" with an opacity.
export const withAlpha = (color, alpha) =>
  color.replace(/^rgba?\((\d+), (\d+), (\d+).*$/, `rgba($1, $2, $3, ${alpha})`);

// Of the curves that share a colour.
export const kDashes = [null, [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4]];
