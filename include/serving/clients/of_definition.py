"""The signature that a model has by its definition, without anything heavy: also for who only wants to read it."""

from __future__ import annotations

from include.serving.clients.example_row import Signature
from include.spec.columns import input_columns, used_histories
from include.spec.definition import Definition


def signature_of(definition: Definition) -> Signature:
    """What a caller must know of the model; as its package says it, but learned categories."""
    serving, source = definition.serving, definition.source
    return Signature.of(
        {
            "model": definition.model,
            "task": definition.task,
            "classes": list(definition.label.class_names) if definition.label.classes else None,
            "columns": input_columns(definition),
            "features": [],
            "history": [
                {
                    "event_time": source.event_time,
                    "keys": dict(zip(history.keys, history.key_types, strict=True)),
                    "columns": columns,
                }
                for history, columns in used_histories(definition)
            ],
            "serving": {
                "entity": {name: source.columns[name] for name in source.entity},
                "limits": {
                    name: limit.model_dump(mode="json", exclude_none=True) for name, limit in serving.limits.items()
                },
                "personal": serving.personal,
            },
        }
    )
