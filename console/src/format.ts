// Numbers and times as people read them.

export function duration(milliseconds: number): string {
  if (milliseconds < 1) return '<1 ms';
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${pad(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}

function pad(number: number): string {
  return String(number).padStart(2, '0');
}

export function tokens(count: number): string {
  if (count < 10_000) return count.toLocaleString('en');
  if (count < 1_000_000) return `${(count / 1000).toFixed(1)} k`;
  return `${(count / 1_000_000).toFixed(2)} M`;
}

/** Dollars; small sums keep two digits that say something. */
export function money(dollars: number): string {
  if (dollars === 0) return '$0';
  if (dollars < 0.01) return `$${dollars.toFixed(6).replace(/0+$/, '')}`;
  return `$${dollars.toFixed(dollars < 1 ? 4 : 2)}`;
}

/** How long ago, or how long until, in the largest unit that fits. */
export function relative(at: string, now: number): string {
  const seconds = Math.round((now - Date.parse(at)) / 1000);
  const distance = Math.abs(seconds);
  const text = span(distance);
  if (distance < 5) return 'just now';
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

/** Seconds as the largest unit that fits. */
export function span(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** What is left of a time, to the second once it runs out. */
export function countdown(seconds: number): string {
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${pad(Math.floor((seconds % 3600) / 60))} min`;
  return `${Math.floor(seconds / 60)}:${pad(seconds % 60)}`;
}

/** The day and time in the reader's own zone. */
export function moment(at: string): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

/** `awaiting_approval` as `awaiting approval`. */
export function words(name: string): string {
  return name.replaceAll('_', ' ');
}

/** A title for a conversation that begins with this message: its first line, cut between words. */
export function titleOf(message: string): string {
  const line = message.trim().split('\n')[0] ?? '';
  if (line.length <= 80) return line;
  const cut = line.slice(0, 79);
  return `${cut.includes(' ') ? cut.slice(0, cut.lastIndexOf(' ')) : cut}…`;
}

/** Text at a glance: without the marks of Markdown that mean nothing on one line. */
export function glance(text: string): string {
  return text.replace(/\*\*|`|^#+\s+|^\s*[-*]\s+/gm, '');
}
