// The page in view, kept in the address bar.
import { type Route, routeOf } from '../routes';

class Router {
  path = $state(location.pathname);
  readonly route: Route = $derived(routeOf(this.path));

  constructor() {
    addEventListener('popstate', () => {
      this.path = location.pathname;
    });
    document.addEventListener('click', (event) => this.click(event));
  }

  go(path: string, how: 'push' | 'replace' = 'push'): void {
    if (path === location.pathname + location.search) return;
    if (how === 'push') history.pushState(null, '', path);
    else history.replaceState(null, '', path);
    this.path = location.pathname;
  }

  /** Follows links of the console within the page; all others are the browser's. */
  private click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.origin !== location.origin) return;
    if (!link.pathname.startsWith('/console/') && link.pathname !== '/') return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();
