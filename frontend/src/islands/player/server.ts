import { api, ApiError, NetworkError } from "../../lib/api";
import { postOnLeaving } from "../../lib/farewell";
import type { OutboxEntry } from "../../lib/outbox";
import type { Assignment, ChoiceResult, Me, Preferences } from "./types";

/** The annotator's part of the API, under one base address. */
export class LabelingServer {
  constructor(private readonly base: string) {}

  me(timeoutMs?: number): Promise<Me> {
    return api<Me>(`${this.base}me/`, timeoutMs ? { timeoutMs } : {});
  }

  savePreferences(preferences: Preferences): Promise<unknown> {
    return api(`${this.base}me/preferences/`, { method: "PUT", body: { preferences } });
  }

  /** Leases up to `count` more; `held` are those that this page has, or whose answers it still has to send. */
  next(count: number, held: string[]): Promise<{ status: "ok" | "all_done" | "all_leased" | "nothing_sampled"; retry_after_s: number; assignments: Assignment[] }> {
    return api(`${this.base}next/`, { method: "POST", body: { count, held: held.slice(0, 50) } });
  }

  /** Extends leases; resolves to those that are still held. */
  async heartbeat(leases: string[]): Promise<string[]> {
    return (await api<{ held: string[] }>(`${this.base}leases/heartbeat/`, { method: "POST", body: { leases } })).held;
  }

  /** Gives leases back, also while the page is closing. Those that do not arrive run out by themselves. */
  returnLeases(leases: string[]): void {
    if (leases.length > 0) postOnLeaving(`${this.base}leases/return/`, { leases });
  }

  undo(choice: string): Promise<{ assignment: Assignment }> {
    return api(`${this.base}choices/${choice}/undo/`, { method: "POST", body: {} });
  }

  /** Sends what waited in the outbox. */
  send(entry: OutboxEntry): Promise<ChoiceResult | unknown> {
    if (entry.kind === "skip") return api(`${this.base}skips/`, { method: "POST", body: entry.body });
    return api<ChoiceResult>(`${this.base}choices/`, { method: "POST", body: entry.body, headers: { "Idempotency-Key": entry.id } });
  }

  /** Raises ApiError for a refusal, NetworkError when there is no answer. */
  async blob(url: string): Promise<Blob> {
    let response: Response;
    try {
      response = await fetch(url, { credentials: "same-origin", signal: AbortSignal.timeout(30_000) });
    } catch (error) {
      throw new NetworkError(error);
    }
    if (!response.ok) throw new ApiError(response.status, "", `The frames could not be fetched (${response.status}).`, null);
    try {
      return await response.blob();
    } catch (error) {
      throw new NetworkError(error);
    }
  }
}
