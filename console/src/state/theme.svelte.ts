// Light, dark, or as the system says. A choice is remembered in this browser; it is no secret.

const STORED = 'runyard.theme';

export type Theme = 'system' | 'light' | 'dark';

class Themes {
  choice = $state<Theme>(read());

  constructor() {
    show(this.choice);
  }

  next(): void {
    const order: Theme[] = ['system', 'light', 'dark'];
    this.choice = order[(order.indexOf(this.choice) + 1) % order.length] ?? 'system';
    if (this.choice === 'system') localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, this.choice);
    show(this.choice);
  }
}

function read(): Theme {
  const stored = localStorage.getItem(STORED);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

function show(choice: Theme): void {
  if (choice === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

export const themes = new Themes();
