"""What can go wrong in the trainers.

TrainerError
├── BadRequest
│   ├── DataError
│   │   ├── UnknownDataSet
│   │   ├── DataPathMissing
│   │   ├── DataVariableUnset
│   │   ├── DataMalformed
│   │   └── DataChanged
│   ├── TableError
│   │   ├── TableMissing
│   │   ├── TableMalformed
│   │   └── TableChanged
│   ├── ImpossibleSetting
│   ├── CheckpointMismatch
│   ├── UnknownTrainer
│   ├── UnknownRecipe
│   ├── UnknownComputation
│   └── InvalidAgentRequest
├── ExportError
│   ├── ExportUnavailable
│   ├── ExportRefused
│   └── ExportDiffers
├── Diverged
├── InheritedBlockLost
├── ChannelClosed
└── HandshakeRefused
"""

from __future__ import annotations

from collections.abc import Iterable


class TrainerError(Exception):
    """Base of everything that the trainers raise; the class says which exit code follows."""

    exit_code = 1


class BadRequest(TrainerError):
    """Base of what a person has to mend: the request itself asks for something that cannot be.

    No further try can mend it, but for data that are out of reach: `trainers.failures` tells these apart.
    """

    exit_code = 2


class DataError(BadRequest):
    """Raised when a data set cannot be used as it was named."""

    def __init__(self, name: str, why: str, *, path: str | None = None) -> None:
        self.name, self.path = name, path
        place = f" at {path}" if path is not None else ""
        super().__init__(f"data set {name!r}{place}: {why}")


class UnknownDataSet(DataError):
    """Raised when no data set goes by a name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name, f"data.name is not known: expected one of {', '.join(known)}")


class DataPathMissing(DataError):
    """Raised when data.path is absent, or leads to nothing, or to something of another kind."""

    def __init__(self, name: str, path: str | None, expected: str) -> None:
        found = "data.path is absent" if path is None else "data.path is not there or cannot be read"
        super().__init__(name, f"{found}: expected {expected}", path=path)


class DataVariableUnset(DataError):
    """Raised when data.path names an environment variable that is not set."""

    def __init__(self, name: str, path: str, variable: str) -> None:
        self.variable = variable
        super().__init__(
            name, f"data.path names ${variable}, which is not set: set it, or write the path out", path=path
        )


class DataMalformed(DataError):
    """Raised when a part of a data set, `key` (an array or a file), is not what is expected."""

    def __init__(self, name: str, path: str | None, key: str, found: str, expected: str) -> None:
        self.key = key
        super().__init__(name, f"{key}: {found}; expected {expected}", path=path)


class DataChanged(DataError):
    """Raised when a path no longer holds the data that a candidate was defined with."""

    def __init__(self, name: str, path: str | None, expected: str, found: str) -> None:
        why = f"its content is now {found:.16}, the search was defined with {expected:.16}: put the old data back"
        super().__init__(name, f"{why}, or start another search", path=path)


class TableError(BadRequest):
    """Raised when a benchmark table cannot be used; docs/tables.md says what one must have."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(f"table {path}: {why}")


class TableMissing(TableError):
    """Raised when a table is not where it should be, or cannot be read."""

    def __init__(self, path: str, why: str | None = None) -> None:
        super().__init__(path, why or "expected a file that can be read, .npz or .parquet")


class TableMalformed(TableError):
    """Raised when a part of a table, `key` (a column), is not what is expected."""

    def __init__(self, path: str, key: str, found: str, expected: str) -> None:
        self.key = key
        super().__init__(path, f"{key}: {found}; expected {expected}")


class TableChanged(TableError):
    """Raised when a path no longer holds the table that a candidate was defined with."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        why = f"its content is now {found:.16}, the search was defined with {expected:.16}: put the old table back"
        super().__init__(path, f"{why}, or start another search")


class ImpossibleSetting(BadRequest):
    """Raised when a setting is well-formed and still cannot be carried out."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        self.key, self.value, self.expected = key, value, expected
        super().__init__(f"{key} is {value!r:.120}: expected {expected}")


class CheckpointMismatch(BadRequest):
    """Raised when a sound checkpoint is not one of the network, the data or the candidate that is to go on from it."""

    def __init__(self, checkpoint: str, what: str, found: str) -> None:
        self.checkpoint, self.what = checkpoint, what
        super().__init__(f"checkpoint {checkpoint[:8]} does not fit: {found} {what}")


class UnknownTrainer(BadRequest):
    """Raised when no trainer goes by a name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(f"trainer.name is {name!r:.80}: expected one of {', '.join(sorted(known))}")


class UnknownRecipe(BadRequest):
    """Raised when no recipe goes by a name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(f"recipe is {name!r:.80}: expected one of {', '.join(sorted(known))}")


class UnknownComputation(BadRequest):
    """Raised when a function may not be computed, or is not there."""

    def __init__(self, function: str, why: str) -> None:
        self.function = function
        super().__init__(f"compute.function is {function!r:.120}: {why}")


class InvalidAgentRequest(BadRequest):
    """Raised when the agent is asked for what cannot be, or its arrays are not of such an agent."""

    def __init__(self, key: str, found: str, expected: str) -> None:
        self.key = key
        super().__init__(f"agent request: {key}: {found:.200}; expected {expected}")


class ExportError(TrainerError):
    """Base of what can be wrong with taking a network out of the store."""

    exit_code = 2


class ExportUnavailable(ExportError):
    """Raised when a format's package is not installed."""

    def __init__(self, name: str, package: str) -> None:
        self.name, self.package = name, package
        super().__init__(f"the format {name} needs the package {package}: pip install 'coldframe[export]'")


class ExportRefused(ExportError):
    """Raised when the folder to write into is in use."""

    def __init__(self, folder: object, why: str) -> None:
        self.folder = folder
        super().__init__(f"{folder} {why}")


class ExportDiffers(ExportError):
    """Raised when what was written does not compute what the trained network does. This is a defect of coldframe."""

    exit_code = 70

    def __init__(self, name: str, difference: float, limit: float) -> None:
        self.name, self.difference, self.limit = name, difference, limit
        super().__init__(
            f"the {name} file gives other logits than the network in the store: they differ by up to {difference:.3g}, "
            f"more than {limit:.3g}; nothing was written"
        )


class Diverged(TrainerError):
    """Raised when the loss, a weight or a gradient is no longer finite. It is a result, and is not tried again."""

    def __init__(self, epoch: int, step: int, what: str = "the training loss") -> None:
        self.epoch, self.step = epoch, step
        super().__init__(f"{what} is not finite in epoch {epoch}, step {step}")


class InheritedBlockLost(TrainerError):
    """Raised when a block that a candidate starts from cannot be read. Without it this candidate cannot be trained.

    Random weights would do for the network, but they would make another candidate.

    Attributes:
        checkpoint: digest of the manifest that names the block.
        blobs: digests of the damaged or missing blobs, if it is they and not the manifest.
    """

    def __init__(self, checkpoint: str, why: Exception, blobs: tuple[str, ...] = ()) -> None:
        self.checkpoint, self.blobs = checkpoint, blobs
        super().__init__(
            f"the candidate starts from blocks of checkpoint {checkpoint[:8]}, which cannot be read: {why}"
        )


class ChannelClosed(TrainerError):
    """Raised when the daemon's end of the socket is closed: there is nobody left to work for."""

    def __init__(self) -> None:
        super().__init__("the daemon closed the connection")


class HandshakeRefused(TrainerError):
    """Raised when a worker was not started as its daemon's child, on a socket of its own."""

    exit_code = 2

    def __init__(self, why: str) -> None:
        super().__init__(f"trainers.worker is started by the daemon only: {why}")
