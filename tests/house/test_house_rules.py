"""The rules that keep the house a house: who imports whom, what is packaged, what may stand in a file."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("agents", "graphs", "prompts", "rl", "eval", "cli")
MAY_IMPORT = {
    "kindling": set(),
    "prompts": {"prompts"},
    "agents": {"agents", "prompts"},
    "graphs": {"graphs", "agents", "prompts"},
    "rl": {"rl", "prompts", "agents"},
    "eval": {"eval", "prompts", "agents"},
    "cli": set(ROOMS),
}
CONTRACTS = {"retriever", "generator", "critic", "judge", "reflector"}


def files_of(room: str) -> list[Path]:
    if room == "kindling":
        # __main__ is the command line by another name
        return sorted(file for file in (ROOT / "src/kindling").glob("*.py") if file.name != "__main__.py")
    return sorted((ROOT / ("src/kindling/cli" if room == "cli" else room)).rglob("*.py"))


def imports_of(file: Path) -> list[tuple[int, str]]:
    """Line and dotted name of every import in `file`, wherever it stands."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.lineno, "." * node.level + (node.module or "")))
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_the_table_allows(room):
    files = files_of(room)
    assert files, f"room {room} is empty"
    offences = []
    for file in files:
        for line, name in imports_of(file):
            where = f"{file.relative_to(ROOT)}:{line} imports {name}"
            if name.startswith(".") or name.split(".")[0] in ROOMS:
                offences.append(where)
            parts = name.split(".")
            if parts[0] != "kindling" or len(parts) == 1 or parts[1] not in ROOMS:
                continue
            if parts[1] not in MAY_IMPORT[room]:
                offences.append(where)
            if room in ("rl", "eval") and parts[1] == "agents" and (len(parts) < 3 or parts[2] not in CONTRACTS):
                offences.append(f"{where}: only the contracts of agents")
    assert offences == []


def test_every_folder_with_code_or_templates_is_packaged():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    on_disk = {"kindling"}
    for room in ROOMS:
        base = ROOT / ("src/kindling/cli" if room == "cli" else room)
        for folder in [base, *(path for path in base.rglob("*") if path.is_dir())]:
            if any(folder.glob("*.py")) or any(folder.glob("*.j2")):
                on_disk.add(".".join(("kindling", room, *folder.relative_to(base).parts)))
    assert sorted(declared) == sorted(on_disk)


def test_curate_does_not_depend_on_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    heavy = ("torch", "transformers", "trl", "vllm", "peft", "ray", "sentence-transformers")
    assert [name for name in project["dependencies"] if name.startswith(heavy)] == []


def test_the_help_imports_nothing_heavy():
    code = (
        "import sys; import kindling.cli; "
        "print([m for m in ('pydantic', 'langgraph', 'langchain_openai', 'sklearn', 'pyarrow', 'numpy', 'torch', "
        "'aiohttp', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_files_and_functions_stay_within_their_budgets():
    over = []
    for room in MAY_IMPORT:
        for file in files_of(room):
            text = file.read_text(encoding="utf-8")
            if text.count("\n") > 500:
                over.append(str(file))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                    if body[-1].end_lineno - body[0].lineno + 1 > 80:
                        over.append(f"{file}:{node.name}")
    assert over == []


def test_only_task_packs_know_what_their_texts_are_about():
    """Words of the greetings task in code outside its folder mean that a second task would need a change there."""
    words = ("祝福", "生日", "greeting", "birthday", "wedding")
    offences = [
        f"{file.relative_to(ROOT)}: {word}"
        for room in MAY_IMPORT
        for file in files_of(room)
        if "greetings" not in file.parts
        for word in words
        if word in file.read_text(encoding="utf-8").replace("greetings", "")
    ]
    assert offences == []


def test_no_pickle_and_no_remote_code():
    forbidden = (
        "import pickle",
        "pickle.load",
        "joblib.load",
        "torch.load(",
        "trust_remote_code=True",
        "eval(",
        "exec(",
    )
    offences = [
        f"{file.relative_to(ROOT)}: {word}"
        for room in MAY_IMPORT
        for file in files_of(room)
        for word in forbidden
        # a model's own method of that name only switches dropout off
        if word in file.read_text(encoding="utf-8").replace(".eval()", "")
    ]
    assert offences == []
