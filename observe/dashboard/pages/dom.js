// Builds an element: h('a', {href: '#', class: 'x', onclick: f}, 'text', [more]). Functions become
// listeners, true an empty attribute; null, undefined and false are left out. Text is never parsed
// as HTML.
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') {
      node.addEventListener(name.slice(2), value);
    } else if (name === 'style') {
      for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    } else {
      node.setAttribute(name, value === true ? '' : value);
    }
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children) {
    if (Array.isArray(child)) {
      add(node, child);
    } else if (child !== null && child !== undefined && child !== false) {
      node.append(child);
    }
  }
}

// Gives `node` these children in place of those it has.
export function fill(node, ...children) {
  const fragment = document.createDocumentFragment();
  add(fragment, children);
  node.replaceChildren(fragment);
  return node;
}

export const $ = (selector, root = document) => root.querySelector(selector);

// An error in place of what could not be shown.
export function problem(error) {
  return h('p', {class: 'problem', role: 'alert'}, String(error.message ?? error));
}

// Calls `f` once things have been quiet for `ms`.
export function debounce(f, ms) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
}
