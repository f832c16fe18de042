// Keyboard shortcuts, and the overlay that tells them.
import {$, fill, h} from './dom.js';

let global = [];
let local = [];

// [{key, label, run}]; `key` as KeyboardEvent.key has it, or several of them in an array.
export const setGlobalKeys = (keys) => { global = keys; };
export const setPageKeys = (keys) => { local = keys; };

const keysOf = (shortcut) => [shortcut.key].flat();
const kNames = {ArrowLeft: '←', ArrowRight: '→', Escape: 'Esc', Enter: '↵'};

function types(target) {
  return target.isContentEditable || target.tagName === 'SELECT' || target.tagName === 'TEXTAREA' ||
    (target.tagName === 'INPUT' && !['checkbox', 'range', 'radio'].includes(target.type));
}

export function listenToKeys() {
  addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape' && types(event.target)) event.target.blur();
    if (types(event.target) || $('#help').open) return;
    const shortcut = [...local, ...global].find((one) => keysOf(one).includes(event.key));
    if (!shortcut?.run) return;
    event.preventDefault();
    shortcut.run();
  });
}

export function showHelp() {
  const dialog = $('#help');
  const table = (title, shortcuts) => shortcuts.length > 0 && h('section', {},
    h('h3', {}, title),
    h('dl', {}, shortcuts.map((one) => h('div', {},
      h('dt', {}, keysOf(one).map((key) => h('kbd', {}, kNames[key] ?? key))),
      h('dd', {}, one.label)))));
  fill(dialog,
    h('header', {}, h('h2', {id: 'help-title'}, 'Keys'),
      h('button', {type: 'button', class: 'quiet', onclick: () => dialog.close()}, 'Close')),
    h('div', {class: 'key-tables'}, table('This page', local), table('Everywhere', global)));
  dialog.showModal();
}
