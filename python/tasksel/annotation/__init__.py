"""Prompts to annotators and answers back: exports for their tools, checked imports, the labels of a run."""

from tasksel.annotation.export import AnnotationExport, export_annotation
from tasksel.annotation.label_import import LabelImport, import_labels
from tasksel.annotation.label_store import Labels, StoredImport, read_labels, store_answers

__all__ = [
    "AnnotationExport",
    "LabelImport",
    "Labels",
    "StoredImport",
    "export_annotation",
    "import_labels",
    "read_labels",
    "store_answers",
]
