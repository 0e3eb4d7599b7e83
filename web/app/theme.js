/**
 * Light, dark, or as the system has it.
 * @module
 */

import { recall, remember } from './memory.js';

const THEMES = ['system', 'light', 'dark'];

export const themeName = () => (THEMES.includes(recall('theme')) ? recall('theme') : 'system');

export function applyTheme() {
  const name = themeName();
  if (name === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

export function nextTheme() {
  remember('theme', THEMES[(THEMES.indexOf(themeName()) + 1) % THEMES.length]);
  applyTheme();
}
