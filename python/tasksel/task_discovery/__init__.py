"""Tasks for pools without them: templates and clusters, with names, examples and a model for new prompts."""

from tasksel.task_discovery.discovery import StageProgress, assign_tasks, discover_tasks
from tasksel.task_discovery.discovery_settings import DiscoverySettings, parse_n_tasks
from tasksel.task_discovery.granularity import granularity_report
from tasksel.task_discovery.result import TaskDiscovery
from tasksel.task_discovery.tagging import TagSettings
from tasksel.task_discovery.task_model import OTHER, DiscoveredTask, TaskModel
from tasksel.task_discovery.task_model_files import load_task_model, save_task_model
from tasksel.task_discovery.templates import Template, match_templates, mine_templates, normalised

__all__ = [
    "OTHER",
    "DiscoveredTask",
    "DiscoverySettings",
    "StageProgress",
    "TagSettings",
    "TaskDiscovery",
    "TaskModel",
    "Template",
    "assign_tasks",
    "discover_tasks",
    "granularity_report",
    "load_task_model",
    "match_templates",
    "mine_templates",
    "normalised",
    "parse_n_tasks",
    "save_task_model",
]
