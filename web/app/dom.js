/**
 * Elements from code. Text becomes text nodes and nothing else: no markup is ever parsed on this page.
 * @module
 */

/**
 * Makes an element. Properties are set as such; `class`, `data-*`, `aria-*` and `role` as attributes; functions under
 * `on…` as listeners.
 * @param {string} tag
 * @param {Record<string, unknown>} [props]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) {
  /** @type {any} */
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes('-') && name !== 'list') element[name] = value;
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A name or a room: its direction is its own and leaks into nothing beside it. @param {string} text @param {Record<string, unknown>} [props] */
export const isolated = (text, props = {}) => h('bdi', props, text);

const SVG = 'http://www.w3.org/2000/svg';

const PATHS = {
  send: 'M4 12 20 4l-5 16-3-7z',
  rooms: 'M4 6h16M4 12h16M4 18h10',
  smile: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zm-4-7c1 1.700 2.400 2.500 4 2.500s3-.8 4-2.500M9 9.500v.01M15 9.500v.01',
  reply: 'M10 8 5 13l5 5M5 13h9c3 0 5 2 5 5',
  edit: 'M5 19h4L19 9l-4-4L5 15zM13 7l4 4',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
  close: 'M6 6l12 12M18 6 6 18',
  plus: 'M12 5v14M5 12h14',
};

/**
 * An icon by its name; it says nothing to a screen reader, its button does.
 * @param {keyof typeof PATHS} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', 'icon');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that is only an icon. @param {keyof typeof PATHS} name @param {string} label @param {() => void} onclick @param {Record<string, unknown>} [props] */
export const iconButton = (name, label, onclick, props = {}) => h('button', {
  type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick, ...props,
}, icon(name));
