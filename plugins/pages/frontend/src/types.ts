// What the endpoints of plugins/pages/models.py answer.

export interface Role {
  role: string;
  version: number;
  share: number;
  since: string;
  as_of: string;
  stage: string | null;
  until: string | null;
  deployment?: string | null;
}

export interface Drift {
  verdict: string;
  at: string;
  share: number | null;
  reason: string | null;
}

export interface Decay {
  source: string;
  verdict: string;
  reason: string | null;
}

export interface Quality {
  metric: string;
  gate: string;
  value: number | null;
  low: number | null;
  high: number | null;
  bound: number | null;
  passed: boolean | null;
  source: string;
}

export interface Overview {
  model: string;
  champion: Role | null;
  challenger: Role | null;
  retired_at: string | null;
  /** How long it answers at most, if it is on its way out. */
  retiring_until: string | null;
  /** Until when its retirement can be undone, if it is out. */
  restorable_until: string | null;
  versions: number;
  newest_version: number | null;
  data_as_of: string | null;
  data_subject: string | null;
  verdicts: Record<string, string>;
  drift: Drift | null;
  decay: Decay | null;
  quality: Quality | null;
  in_production: Quality | null;
  gates: [number, number] | null;
}

export interface Line {
  overview: Overview;
  owner: string | null;
  paused: boolean;
  next_run: { dag_id: string; family: string; next_run: string } | null;
  under_way: string[];
  questions: number;
}

export interface ModelList {
  read_at: string;
  models: Line[];
}

export interface Interval {
  value: number | null;
  low: number | null;
  high: number | null;
}

export interface GateOutcome {
  gate: string;
  metric: string;
  passed: boolean;
  value: number | null;
  bound: number | null;
  sentence: string;
}

export interface Version {
  version: number;
  as_of: string;
  created_at: string;
  status: string;
  run_id: string;
  signer: string | null;
  verdict: string | null;
  reason: string | null;
  gates: GateOutcome[];
  metrics: Record<string, Interval> | null;
  page: string | null;
}

export interface GateCheck {
  id: number;
  stage: string;
  verdict: string;
  subject: string;
  as_of: string;
  at: string;
  page: string | null;
  rows: number;
  warnings: number;
  failed: { severity: string; expected: string; found: string }[];
  problem: string | null;
}

export interface DriftCheck {
  as_of: string;
  at: string;
  verdict: string;
  subject: string;
  page: string | null;
  reason: string | null;
  version: number | null;
  share: number | null;
  features: { name: string; drifted: boolean | null; size: number | null; limit: number | null }[];
}

export interface DecayCheck {
  as_of: string;
  at: string;
  source: string;
  verdict: string;
  page: string | null;
  reason: string | null;
  version: number | null;
  changes: { name: string; decayed: boolean | null; before: Interval | null; now: Interval | null }[];
}

export interface Entry {
  revision: number;
  at: string;
  action: string;
  from_version: number | null;
  to_version: number | null;
  actor: string;
  reason: string;
  state: Record<string, number>;
  shares: Record<string, number>;
  deployment: string | null;
  stage: string | null;
  run: string | null;
  approval: { approved_by?: string; note?: string } | null;
}

export interface Action {
  name: "train" | "deploy" | "rollback" | "retire" | "restore";
  dag_id: string;
  allowed: boolean;
  paused: boolean;
}

export interface Question {
  dag_id: string;
  run_id: string;
  task_id: string;
  map_index: number;
  subject: string;
  body: string | null;
  options: string[];
  created_at: string;
}

export interface Run {
  dag_id: string;
  run_id: string;
  state: string;
  run_type: string;
  run_after: string;
  start_date: string | null;
  end_date: string | null;
  triggering_user_name: string | null;
}

/** Hours of processor time. */
export interface Cost {
  lately: number;
  in_all: number;
}

export interface StepCost extends Cost {
  step: string;
  tries: number;
}

export interface ModelPageData {
  read_at: string;
  user: string;
  line: Line;
  story: {
    roles: Role[];
    versions: Version[];
    gates: GateCheck[];
    drift: DriftCheck[];
    decay: DecayCheck[];
    ledger: Entry[];
    deployments: { version: number; deployment: string; at: string }[];
    costs: StepCost[];
  };
  about: {
    description: string;
    owner: string;
    task: string;
    tags: string[];
    stages: string[];
    approval: string;
    metrics: string[];
    schedule: Record<string, string>;
  } | null;
  problem: string | null;
  actions: Action[];
  may_answer: boolean;
  questions: Question[];
  runs: Run[];
  tracking: string;
}

export interface Origin {
  version: number;
  run_id: string | null;
  raw_version: number | null;
  features_version: number | null;
  features_digest: string | null;
  training_set: string | null;
  compared_with: number | null;
}

export interface Comparison {
  rows: number;
  status: string | null;
  reason: string | null;
  champion_version: number | null;
  challenger: Record<string, Interval> | null;
  champion: Record<string, Interval> | null;
  improvements: Record<string, Interval> | null;
  page: string | null;
}

export interface ClientExample {
  language: string;
  file: string;
  command: string;
  text: string;
}

/** What a version of a table wrote, and what came of it. */
export interface Touched {
  table: string;
  version: number;
  wrote: number;
  made: { version: number; status: string; partitions: number; first: string; last: string; answers: Record<string, number> }[];
}

export interface Answered {
  row: number;
  at: string;
  version: number;
  role: string;
}
