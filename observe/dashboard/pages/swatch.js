// The line of a legend: the colour of a curve and its dash.
import {h} from './dom.js';
import {curveVariable, kDashes} from './palette.js';
import {svg} from './sparkline.js';

// Without a colour (null) it only tells the dash.
export function lineSwatch(color, dash = 0) {
  const pattern = kDashes[dash % kDashes.length];
  return svg('svg', {class: 'swatch', width: 20, height: 8, 'aria-hidden': 'true'},
    svg('path', {d: 'M0 4H20', 'stroke-dasharray': pattern?.join(' '),
      style: `stroke: ${color === null ? 'var(--faint)' : curveVariable(color)}`}));
}

// The square that stands for a run.
export const runSpot = (color) => h('i', {class: 'spot', 'aria-hidden': 'true',
  style: {'--color': curveVariable(color)}});
