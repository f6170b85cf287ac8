"""Engines: who answers the prompts of a pool and measures every token."""

from tasksel.engines.engine import Answer, AnsweredBatch, Engine, EngineStart, ShardPrompts
from tasksel.engines.request import DEFAULT_ENGINE, ENGINES, EngineRequest

__all__ = [
    "DEFAULT_ENGINE",
    "ENGINES",
    "Answer",
    "AnsweredBatch",
    "Engine",
    "EngineRequest",
    "EngineStart",
    "ShardPrompts",
]
