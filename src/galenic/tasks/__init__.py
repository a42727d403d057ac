"""Questions that a benchmark asks: what is split, how a model answers, how the answer is scored."""

from galenic.tasks.cells import few_shot, within_target, zero_shot
from galenic.tasks.downstream import DownstreamTask
from galenic.tasks.heads import Predictor
from galenic.tasks.perturbation import PerturbationTask
from galenic.tasks.representations import Learned, components, embedding, represented
from galenic.tasks.response import FLOORS, ResponseTask, floors_of
from galenic.tasks.retrieval import RetrievalTask
from galenic.tasks.task import Answer, Answered, Part, Task

__all__ = [
    "FLOORS",
    "Answer",
    "Answered",
    "DownstreamTask",
    "Learned",
    "Part",
    "PerturbationTask",
    "Predictor",
    "ResponseTask",
    "RetrievalTask",
    "Task",
    "components",
    "embedding",
    "few_shot",
    "floors_of",
    "represented",
    "within_target",
    "zero_shot",
]
