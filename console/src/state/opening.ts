// The first message of a conversation, on its way from the page that made the thread to the page that shows it.

const messages = new Map<string, string>();

export function leave(thread: string, message: string): void {
  messages.set(thread, message);
}

/** The message, once. */
export function fetchOpening(thread: string): string | undefined {
  const message = messages.get(thread);
  messages.delete(thread);
  return message;
}
