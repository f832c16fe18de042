// Events below the curves: a tick at the axis for what is usual, a dashed line for what is not; a
// full line at the step that other pages show.
import {palette} from './palette.js';

const kUsual = new Set(['checkpoint', 'finished', 'started', 'worker_joined', 'evaluation']);

export const isUsual = (event) => kUsual.has(event.kind);

export function drawMarks(group, context, area, graph) {
  if (group.axis !== 'step') return;
  const colors = palette();
  const bottom = area.y + area.h;
  const line = (step, top, color, dash) => {
    const x = Math.round(graph.toDomXCoord(step)) + 0.5;
    if (x < area.x || x > area.x + area.w) return;
    context.beginPath();
    context.setLineDash(dash);
    context.strokeStyle = color;
    context.moveTo(x, top);
    context.lineTo(x, bottom);
    context.stroke();
  };
  context.save();
  context.lineWidth = 1;
  for (const event of group.events) {
    if (isUsual(event)) line(event.step, bottom - 5, colors.faint, []);
    else line(event.step, area.y, colors.warn, [3, 3]);
  }
  if (group.markedStep !== null) line(group.markedStep, area.y, colors.accent, []);
  context.restore();
}
