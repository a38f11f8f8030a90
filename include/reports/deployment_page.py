"""The page of one deployment: how it ended and why, its stages with what was seen in them, every check's numbers."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from include.lake.paths import checked_model
from include.lake.store import store_of
from include.reports.charts import overlaid_histograms
from include.reports.deployment_checks import checked_stages
from include.reports.deployment_story import Phase, Story, read_story
from include.reports.deployment_traffic import Count, Traffic, read_traffic
from include.reports.deployment_words import duration, instant, sentence
from include.reports.layout import format_percent, write_page
from include.settings import Settings

_ROLES: Final = {
    "candidate": "answers nobody",
    "shadow": "scored beside",
    "canary": "answers its share",
    "ab": "answers its share",
}
_ENDINGS: Final = {
    "went on": ("good", "went on"),
    "promoted": ("good", "champion"),
    "out": ("bad", "taken out"),
    "under way": ("warn", "under way"),
}
_ACTIONS: Final = {
    "stage": "entered a stage",
    "promote": "became champion",
    "rollback": "taken out",
    "drain": "taken out, since the model is being retired",
    "retire": "taken out with the model",
}


def write_deployment_page(settings: Settings, model: str, deployment: str, *, now: datetime | None = None) -> str:
    """Write the page ``reports/<model>/deployment-<name>.html``, again at each call; return its path in the store.

    :param deployment: its name, as the ledger has it.
    :param now: the instant of reading (default: the clock's).
    :raises NoSuchDeployment: if the ledger has none of this name.
    :raises DatabaseAway: if the database cannot be reached.
    """
    story = read_story(settings, model, deployment, now=now or datetime.now(UTC))
    path = settings.store / "reports" / checked_model(model) / f"deployment-{_file_name(deployment)}.html"
    store_of(settings).deliver(write_story(path, story, read_traffic(settings, story)))
    return path.relative_to(settings.store).as_posix()


def write_story(path: Path, story: Story, traffic: Traffic | None) -> Path:
    """Write the page of a deployment that was read.

    :param traffic: its requests; None if there is nothing of them.
    """
    return write_page(
        path,
        "deployment.html",
        story=story,
        verdict=_verdict(story),
        facts=_facts(story),
        phases=_phases(story, traffic),
        counted=traffic is not None,
        checked=checked_stages(story),
        figures=_figures(traffic),
        errors=list(traffic.errors) if traffic else [],
        gates=_gates(story),
        entries=[_entry(entry) for entry in story.entries],
    )


def _file_name(deployment: str) -> str:
    """A name for a file; names that differ only in what a file's name cannot hold stay apart."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", deployment).strip("-.")[-80:] or "unnamed"
    if readable == deployment:
        return readable
    return f"{readable}-{hashlib.sha256(deployment.encode()).hexdigest()[:8]}"


def _verdict(story: Story) -> dict[str, str]:
    if story.ending == "promoted":
        return _promoted(story)
    if story.ending == "out":
        return _taken_out(story)
    phase = story.phases[-1]
    head = f"Version {story.version} is in {_stage_words(phase)}, {duration(story.read_at - phase.began)} so far."
    reason = phase.judgement.reason if phase.judgement else "Nothing has been judged in this stage yet."
    return {"tone": "warn", "head": head, "happened": sentence(reason), "todo": ""}


def _promoted(story: Story) -> dict[str, str]:
    place = f" in place of version {story.champion}" if story.champion is not None else ", the first of its model"
    head = f"Version {story.version} became champion{place}, after {duration(story.ended - story.began)}."
    judged = [phase for phase in story.phases if phase.judgement is not None]
    happened = sentence(story.end.reason if story.end else "")
    if judged:
        rows, labels = _seen(story)
        stages = " and ".join(_stage_words(phase) for phase in judged)
        known = f", {labels:,} with their labels in" if labels else ""
        happened = f"No check spoke against it in {stages}, on {rows:,} rows that both versions answered{known}."
    if story.now_champion == story.version:
        return {"tone": "good", "head": head, "happened": happened, "todo": ""}
    now = "the model has no champion" if story.now_champion is None else f"version {story.now_champion} is champion"
    todo = f"Nothing here. What came after: python -m include.registry history {story.model}"
    return {"tone": "warn", "head": head, "happened": f"{happened} By now {now}.", "todo": todo}


def _taken_out(story: Story) -> dict[str, str]:
    stage = _stage_words(story.phases[-1]) if story.phases else "its deployment"
    lasted = duration(story.ended - story.began)
    barred = story.registered.status == "barred"
    words = ", and barred" if barred else ""
    head = f"Version {story.version} was taken out of {stage}, {lasted} after it began{words}."
    why = sentence(story.end.reason if story.end else "")
    failed = any(not check["passed"] for phase in story.phases for check in phase.checks)
    todo = "Look at the check that failed below" if failed else "See what stopped it"
    todo += ", then train again or deploy another version."
    if barred:
        lift = f"python -m include.registry lift-bar {story.model} {story.version} --reason …"
        todo += f" To try this one again all the same: {lift}"
    return {"tone": "bad", "head": head, "happened": f"{why}{_who_answers(story)}", "todo": todo}


def _who_answers(story: Story) -> str:
    """Who answered after the challenger was out: its champion may have left in the same change."""
    after = story.end.state.get("champion") if story.end else story.champion
    if after is None:
        return "" if story.champion is None else " The model was left without a champion."
    return f" Version {after} {'went on answering' if after == story.champion else 'answered from then on'}."


def _seen(story: Story) -> tuple[int, int]:
    """Rows that both versions answered, over all stages, and labels, which count from the first stage on."""
    rows = sum(int(phase.seen.get("requests") or 0) for phase in story.phases)
    return rows, max([int(phase.seen.get("labels") or 0) for phase in story.phases] or [0])


def _facts(story: Story) -> list[tuple[str, object]]:
    rows, labels = _seen(story)
    facts: list[tuple[str, object]] = [
        ("Compared with", f"version {story.champion}" if story.champion is not None else "nothing: the first"),
        ("Began", instant(story.began)),
        ("Ended" if story.end else "Read", instant(story.ended)),
        ("Rows that both answered", rows),
        ("Labels in", labels),
        ("Started by", story.entries[0].actor),
    ]
    if story.approval:
        facts.append(("Approved by", story.approval))
    return facts


def _phases(story: Story, traffic: Traffic | None) -> list[dict[str, Any]]:
    counts = traffic.counts if traffic is not None else [None] * len(story.phases)
    return [_phase(phase, count, story) for phase, count in zip(story.phases, counts, strict=True)]


def _phase(phase: Phase, count: Count | None, story: Story) -> dict[str, Any]:
    """A line of the table; why it was left is said where the challenger was taken out."""
    tone, word = _ENDINGS[phase.ending]
    why = phase.left.reason if phase.ending == "out" and phase.left is not None else ""
    return {
        "name": phase.name,
        "role": _ROLES.get(phase.role, phase.role),
        "share": phase.share,
        "began": f"{phase.began.astimezone(UTC):%H:%M:%S}",
        "lasted": duration((phase.ended or story.read_at) - phase.began),
        "requests": phase.seen.get("requests"),
        "labels": phase.seen.get("labels"),
        "answered": f"{count.challenger:,} of {count.challenger + count.champion:,}" if count else None,
        "failed": count.failed if count else None,
        "tone": tone,
        "word": word,
        "why": sentence(why),
    }


def _figures(traffic: Traffic | None) -> list[dict[str, Any]]:
    if traffic is None:
        return []
    figures = []
    if traffic.latencies is not None:
        medians = [
            f"{name} {half:.2g} ms, 99 % within {most:.3g} ms"
            for name in ("champion", "challenger")
            for half, most in [traffic.medians[name]]
        ]
        left = f" The slowest {traffic.latencies.beyond:,} are beyond the edge." if traffic.latencies.beyond else ""
        figures.append(_figure("Latency of answers", f"Medians: {'; '.join(medians)}.{left}", traffic.latencies, "ms"))
    if traffic.predictions is not None:
        text = f"{sum(traffic.predictions.champion):,} rows that both have answered."
        if traffic.of_classes:
            text += " A bar is a class, by its place in label.classes, counted from 0."
        figures.append(
            _figure("Predictions", text, traffic.predictions, "class" if traffic.of_classes else "prediction")
        )
    return figures


def _figure(title: str, text: str, shares: Any, unit: str) -> dict[str, Any]:
    chart = overlaid_histograms(shares.edges, shares.champion, shares.challenger, title=unit)
    return {"title": title, "text": text, "chart": chart}


def _gates(story: Story) -> list[tuple[str, str, str]]:
    """The gates that the version passed, or not, before it was deployed."""
    gates = story.registered.decision.get("gates") or []
    return [
        (
            "good" if gate.get("passed") else "bad",
            str(gate.get("gate")),
            str(gate.get("sentence") or "").removeprefix(f"{gate.get('gate')}: "),
        )
        for gate in gates
    ]


def _entry(entry: Any) -> tuple[str, str, str, str]:
    stage = entry.evidence.get("stage")
    action = _ACTIONS.get(entry.action, entry.action)
    if entry.action == "stage" and stage:
        action = f"entered {stage}"
    return (instant(entry.at), action, entry.actor, entry.reason)


def _stage_words(phase: Phase) -> str:
    """A stage as people say it: ``canary at 10 %``."""
    if phase.share:
        kind = {"ab": "the A/B test"}.get(phase.role, phase.role)
        return f"{kind} at {format_percent(phase.share, 0)}"
    return phase.name
