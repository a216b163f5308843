// The console's own paths. It knows no page's contents.

export const BASE = '/console';

/** Pages of which one thing can be shown alone. */
const WITH_ID = ['threads', 'runs', 'approvals', 'agents'] as const;
const WITHOUT_ID = ['sessions', 'lanes', 'usage', 'keys', 'grants', 'audit'] as const;

type PageWithId = (typeof WITH_ID)[number];
type PageWithoutId = (typeof WITHOUT_ID)[number];
export type Page = PageWithId | PageWithoutId;

export type Route = { page: PageWithId; id?: string } | { page: PageWithoutId } | { page: 'lost' };

/** The page that a path names. */
export function routeOf(path: string): Route {
  const parts = path.replace(/^\/console(?=\/|$)/, '').split('/').filter(Boolean);
  const [page = 'threads', id, more] = parts.map(decode);
  if (more !== undefined) return { page: 'lost' };
  const withId = WITH_ID.find((known) => known === page);
  if (withId) return id === undefined ? { page: withId } : { page: withId, id };
  const withoutId = WITHOUT_ID.find((known) => known === page);
  return withoutId && id === undefined ? { page: withoutId } : { page: 'lost' };
}

/** The path of a page. */
export function pathOf(page: Page, id?: string): string {
  return id === undefined ? `${BASE}/${page}` : `${BASE}/${page}/${encodeURIComponent(id)}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
