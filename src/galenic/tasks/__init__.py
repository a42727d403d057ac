"""Questions that a benchmark asks: what is split, how a model answers, how the answer is scored."""

from galenic.tasks.perturbation import PerturbationTask
from galenic.tasks.response import FLOORS, ResponseTask, floors_of
from galenic.tasks.retrieval import RetrievalTask
from galenic.tasks.task import Answer, Answered, Part, Task

__all__ = [
    "FLOORS",
    "Answer",
    "Answered",
    "Part",
    "PerturbationTask",
    "ResponseTask",
    "RetrievalTask",
    "Task",
    "floors_of",
]
