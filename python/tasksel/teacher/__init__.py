"""A model answers the prompts of a selection, and its answers become labels."""

from tasksel.teacher.estimate import TeacherEstimate
from tasksel.teacher.run import TEACHER_FOLDER, TeacherProgress, ask_teacher, estimate_teacher
from tasksel.teacher.settings import TeacherLimits, TeacherSettings
from tasksel.teacher.summary import TeacherSummary

__all__ = [
    "TEACHER_FOLDER",
    "TeacherEstimate",
    "TeacherLimits",
    "TeacherProgress",
    "TeacherSettings",
    "TeacherSummary",
    "ask_teacher",
    "estimate_teacher",
]
