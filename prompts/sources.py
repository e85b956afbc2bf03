"""Where a pack's files come from: the project's folder first, then the shipped one, file by file.

A template is read once, so that check, hash and compiled code all see the same text even if the file changes meanwhile.
Names have no folder part: a template can name nothing outside its pack. `overlaid` puts texts in the place of files,
and shares what was read of the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kindling.errors import InputError, TemplateError

MAX_SOURCE = 65_536


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong with a template, and where; lines count from 1."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class Defect(TemplateError):
    """A template that cannot be used, with the finding that says why."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        self.finding = Finding(path, line, message)
        super().__init__(str(self.finding))


@dataclass(frozen=True, slots=True)
class Source:
    """A template's text; `name` is the same wherever the file lies. One that lies nowhere has its name for a path."""

    name: str
    path: Path
    text: str


class Sources:
    """The files of one pack in `folders`, earlier ones first."""

    def __init__(self, pack: str, folders: tuple[Path, ...]) -> None:
        self.folders = folders
        self.given: dict[str, str] = {}
        self._pack = pack
        self._read: dict[str, Source] = {}

    def overlaid(self, given: Mapping[str, str]) -> "Sources":
        """These files with the templates `given`, name to text, in place of those of the same name.

        Raises `ValueError` for a name that no template can have.
        """
        for name in given:
            if Path(name).name != name or not name.endswith(".j2"):
                raise ValueError(f"not the name of a template: {name!r}")
        other = Sources(self._pack, self.folders)
        other.given = {**self.given, **given}
        other._read = self._read
        return other

    def has(self, name: str) -> bool:
        """Whether there is a template or file of that name."""
        return name in self.given or self._find(name) is not None

    def file(self, name: str) -> Path:
        """The first file of that name. Raises `InputError` if there is none."""
        if (path := self._find(name)) is None:
            raise InputError(f"task pack {self._pack!r} has no {name} (looked in {', '.join(map(str, self.folders))})")
        return path

    def source(self, name: str) -> Source:
        """The template `name`. Raises `InputError` if it is missing, `Defect` if it cannot be read or is too long."""
        if name in self.given:
            return _source(name, Path(name), self.given[name])
        if name not in self._read:
            path = self.file(name)
            self._read[name] = _source(name, path, read(path))
        return self._read[name]

    def _find(self, name: str) -> Path | None:
        paths = (folder / name for folder in self.folders)
        return next((path for path in paths if path.is_file()), None) if Path(name).name == name else None


def _source(name: str, path: Path, text: str) -> Source:
    if len(text) > MAX_SOURCE:
        raise Defect(path, 1, f"{len(text):,} characters; a template has at most {MAX_SOURCE:,}")
    return Source(name, path, text)


def read(path: Path) -> str:
    """The text of a template, without a byte order mark. Raises `Defect` with the line where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Defect(path, error.object.count(b"\n", 0, error.start) + 1, "not UTF-8") from error
    except OSError as error:
        raise Defect(path, 1, f"cannot be read: {error.strerror or error}") from error
