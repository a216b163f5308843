// The link that the server prints on its own machine: it carries a ticket behind `#`, which the page takes out of the
// address bar at once and exchanges for a key.

/** The ticket that the page was opened with, once. */
export function takeTicket(): string | undefined {
  const ticket = /^#ticket=([\w-]+)$/.exec(location.hash)?.[1];
  if (ticket !== undefined) history.replaceState(null, '', location.pathname + location.search);
  return ticket;
}
