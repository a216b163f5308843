// The server's one error body as an exception.

interface ProblemBody {
  code?: string;
  message?: string;
  request_id?: string;
  errors?: { path: string; message: string }[];
  details?: Record<string, unknown>;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | undefined,
    readonly fields: { path: string; message: string }[] = [],
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }

  /** True if the same request may succeed later without any change. */
  get passes(): boolean {
    return this.status >= 500 || this.status === 408 || this.status === 429 || this.status === 0;
  }
}

export function problemFrom(status: number, body: unknown): ApiError {
  const problem: ProblemBody = typeof body === 'object' && body !== null ? body : {};
  return new ApiError(
    status,
    problem.code ?? 'unknown',
    problem.message ?? `The server answered ${status}.`,
    problem.request_id,
    problem.errors,
    problem.details,
  );
}

/** Reads a failed response's body. */
export async function problemOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '');
  try {
    return problemFrom(response.status, JSON.parse(text));
  } catch {
    return problemFrom(response.status, undefined);
  }
}

/** What to tell a person of any failure. */
export function explain(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof TypeError) return 'The server cannot be reached. Is it running?';
  return error instanceof Error ? error.message : String(error);
}
