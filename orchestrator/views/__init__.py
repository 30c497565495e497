"""Views: what the journal says, folded into values that commands, the live table and the report show. Pure."""

from orchestrator.views.costs import Costs, costs
from orchestrator.views.entries import Attempt, JobView, PoolUse, SavedCheckpoint, SearchEntry, WorkerEntry
from orchestrator.views.fold import History, read
from orchestrator.views.progress import Rung, Step, progress, rungs
from orchestrator.views.samples import Samples, samples
from orchestrator.views.search import CandidateView, SearchView, search_view, totals
from orchestrator.views.timeline import Segment, WorkerTimeline, timelines

__all__ = [
    "Attempt",
    "CandidateView",
    "Costs",
    "History",
    "JobView",
    "PoolUse",
    "Rung",
    "Samples",
    "SavedCheckpoint",
    "SearchEntry",
    "SearchView",
    "Segment",
    "Step",
    "WorkerEntry",
    "WorkerTimeline",
    "costs",
    "progress",
    "read",
    "rungs",
    "samples",
    "search_view",
    "timelines",
    "totals",
]
