import type { Verdict } from "../../lib/path-overlay";
import type { Segment, Side } from "../../lib/segments";
import type { Sprite } from "../../lib/sprite";

export type { Segment, Side };
export type AnswerName = "left" | "right" | "tie" | "both_bad" | "cant_tell";
export type CriterionAnswer = "left" | "right" | "both" | "neither";

/** One leased comparison, as the server hands it out. Which rollout stands on which side is the server's draw. */
export interface Assignment {
  lease: string;
  comparison: number;
  expires_at: string;
  prompt: string;
  frame_count: number;
  fps: number;
  width: number;
  height: number;
  start_frame_url: string;
  left: AssignedSide;
  right: AssignedSide;
}

export interface AssignedSide {
  sprite_url: string;
  columns: number;
  /** Only where the project lets paths be drawn before the answer. */
  path_pixels?: [number, number][] | null;
  verdict?: Verdict | null;
}
/** What is drawn over one side. */
export type Drawn = Pick<RevealedSide, "path_pixels" | "verdict">;

/** An assignment with its frames decoded. */
export interface Pair {
  assignment: Assignment;
  left: Sprite;
  right: Sprite;
}

/** What the annotator said about a pair besides who is better. */
export interface Details {
  strength: number | null;
  criteria: Record<string, CriterionAnswer>;
  success: Record<Side, boolean | null>;
  segments: Segment[];
  rationale: string;
}

export interface RevealedSide {
  rollout: number;
  path_pixels: [number, number][];
  verdict: Verdict;
  value: number | null;
  version: string;
}
export interface Reveal {
  left: RevealedSide;
  right: RevealedSide;
}

export interface ChoiceResult {
  choice: string;
  late?: boolean;
  reveal: Reveal;
  qualifying?: { done: number; of: number; correct: boolean; note: string; result: string };
}

export interface Preferences {
  keys?: Record<string, string>;
  shortcuts?: boolean;
  rate?: number;
  loop?: boolean;
  review_each?: boolean;
}

export interface Me {
  stats: { today: number; total: number; pace_s: number | null; session_minutes: number };
  undoable: { choice: string; created_at: string }[];
  preferences: Preferences;
  profile?: { guide_read: boolean; qualification: string };
  project: {
    criteria: { key: string; label: string }[];
    ask_strength: boolean;
    ask_success: boolean;
    lease_seconds: number;
    break_after_minutes: number;
  };
}

export function emptyDetails(): Details {
  return { strength: null, criteria: {}, success: { left: null, right: null }, segments: [], rationale: "" };
}
