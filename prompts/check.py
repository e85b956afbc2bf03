"""What is wrong with the templates of a pack, each finding with file and line; `TaskPack.prompt` refuses the same.

syntax, unknown filters and tests, whatever is not part of the language of prompts
missing variables      used but not given to the role, or given, needed and not used
judged text            printed, compared or filtered otherwise than by `fence`
files                  missing, unreadable, includes in a circle; a file of the project that no role uses
rules                  of files of principles and tactics: none, more than ten, the same one twice, template syntax
rendering              with sample values, if all else is well: what only shows in action
"""

from typing import TYPE_CHECKING

from kindling.prompts.roles import ROLES
from kindling.prompts.rules import kind
from kindling.prompts.sources import Defect, Finding
from kindling.prompts.taskpack import Prompt

if TYPE_CHECKING:
    from kindling.prompts.taskpack import TaskPack


def check_role(pack: "TaskPack", role: str) -> list[Finding]:
    """Everything wrong with the template of `role` and what it includes; rendering only if all else is well."""
    findings = pack.analysis(role).findings
    if not findings:
        try:
            Prompt(pack, role)
        except Defect as defect:
            return [defect.finding]
    return findings


def check_pack(pack: "TaskPack") -> list[Finding]:
    """Everything wrong with the templates of `pack`, each once, in order of path and line."""
    found = {finding for role in pack.roles() for finding in check_role(pack, role)}
    used = {source.name for role in pack.roles() for source in pack.analysis(role).files}
    of_rules = {name for name in pack.templates() if kind(name)}
    found |= {finding for name in of_rules for finding in pack.rules_findings(name)}
    strangers = set(pack.templates()) - used - of_rules - {f"{role}.j2" for role in ROLES}
    found |= {Finding(pack.file(name), 1, "no role uses this file: is its name right?") for name in strangers}
    return sorted(found)
