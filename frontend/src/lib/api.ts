import { csrfToken } from "./csrf";

/** An answer of the API that is not 2xx: `status`, and `code`, `detail` of its problem details when it has them. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly retryAfterSeconds: number | null,
  ) {
    super(detail || `The server answered ${status}.`);
  }
}

/** The request never got an answer: offline, server down, or cut off. */
export class NetworkError extends Error {
  constructor(cause: unknown) {
    super("The server can not be reached.", { cause });
  }
}

export interface ApiOptions {
  method?: "GET" | "POST" | "PUT" | "DELETE" | "PATCH";
  body?: unknown;
  headers?: Record<string, string>;
  /** Lets the request outlive its page; its body may then be 64 KiB at most. */
  keepalive?: boolean;
  timeoutMs?: number;
  signal?: AbortSignal;
}

/**
 * One JSON request to our own server.
 *
 * Raises ApiError for an answer that is not 2xx, NetworkError when there was no answer (also after `timeoutMs`, 20 s unless told).
 */
export async function api<T>(url: string, options: ApiOptions = {}): Promise<T> {
  const method = options.method ?? (options.body === undefined ? "GET" : "POST");
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 20_000);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      credentials: "same-origin",
      keepalive: options.keepalive ?? false,
      // A redirect to the sign-in page must be seen as what it is, not followed to an HTML page with status 200.
      redirect: "manual",
      cache: "no-store",
      signal: options.signal ? AbortSignal.any([timeout, options.signal]) : timeout,
    });
    text = await response.text();
  } catch (error) {
    throw new NetworkError(error);
  }
  if (response.type === "opaqueredirect") throw new ApiError(401, "signed_out", "You are signed out.", null);
  const data = parse(text);
  if (!response.ok) {
    const retryAfter = Number(response.headers.get("Retry-After"));
    throw new ApiError(response.status, field(data, "code"), field(data, "detail") || field(data, "title"), Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : null);
  }
  return data as T;
}

function parse(text: string): unknown {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function field(data: unknown, name: string): string {
  const value = data && typeof data === "object" ? (data as Record<string, unknown>)[name] : undefined;
  return typeof value === "string" ? value : "";
}
