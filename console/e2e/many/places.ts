// Spreads the page's requests over the places that its address names, all of them the same server: a browser opens six
// connections to one place. It comes before the client, which keeps the `fetch` that it finds.
const places = new URLSearchParams(location.search).getAll('place');
const plain = window.fetch.bind(window);
let turn = 0;

window.fetch = (input, init) => {
  const request = new Request(input, init);
  const { pathname, search } = new URL(request.url);
  turn += 1;
  return plain(new Request(`${places[turn % places.length] ?? location.origin}${pathname}${search}`, request));
};
