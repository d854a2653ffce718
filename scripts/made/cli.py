"""docs/reference/cli/: one page a program, with every command and option."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from framegate_host import console
from made.commands import HANDED_OVER, PROGRAMS, Command, programs
from made.markdown import code, plain, table, wrapped

FOLDER: Final = "docs/reference/cli"
ROOT: Final = Path(__file__).parents[2]
SHARED_FROM: Final = 8
"""Options that so many commands of a program have alike stand once, at the top of its page."""
COMPLETION: Final = {"--install-completion", "--show-completion"}
NOTE: Final = "Made from the commands themselves by `make pages`; do not edit."


def pages() -> dict[str, str]:
    """Every page by its path."""
    by_path = {f"{FOLDER}/{name}.md": _page(name, top) for name, top in programs().items()}
    return {f"{FOLDER}/index.md": _index(), **by_path}


def _index() -> str:
    rows = [
        (f"[`{name}`]({name}.md)", str(len(list(top.leaves()))), plain(top.help.split("\n\n")[0]))
        for name, top in programs().items()
    ]
    codes = sorted(
        (value, name.removeprefix("EXIT_").lower().replace("_", " "))
        for name, value in vars(console).items()
        if name.startswith("EXIT_")
    )
    served = [(code(name), _told_apart(module)) for name, module in PROGRAMS.items()]
    means = [("0", "done"), *((str(value), _MEANS[name]) for value, name in codes)]
    parts = [
        "# Command line",
        NOTE,
        table(("program", "commands", "what it is"), rows).rstrip(),
        "## Exit codes",
        table(("code", "meaning"), means).rstrip(),
        "Which of them a program gives for a failure. "
        "[Troubleshooting](../../troubleshooting.md) has them by reason.",
        table(("program", "codes of failures"), served).rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


_MEANS: Final = {
    "failed": "failed, or what was given does not parse",
    "usage": "wrong use",
    "not found": "not found",
    "denied": "denied",
    "conflict": "in conflict with what is there",
    "untrusted": "untrusted: it was checked and does not hold",
    "unavailable": "unavailable now; try again",
}


def _told_apart(module: str) -> str:
    """Which exit codes a program gives for a failure, read from its call of `service_exit_code`."""
    package = module.partition(".")[0]
    spec = find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        for file in sorted(Path(folder).rglob("*.py")):
            text = file.read_text("utf-8")
            if "service_exit_code(" in text:
                return _service(text)
    return (
        "all of them"
        if package != "framegate_simulators"
        else "2 usage, 6 untrusted; 1 for all else"
    )


def _service(text: str) -> str:
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "service_exit_code":
            names = [
                a.attr.lower().replace("_", " ") for a in node.args if isinstance(a, ast.Attribute)
            ]
    apart = [f"{getattr(console, 'EXIT_' + n.upper().replace(' ', '_'))} {n}" for n in names]
    return ", ".join(["7 unavailable", *apart]) + "; 1 for all else that fails"


def _page(name: str, top: Command) -> str:
    leaves = list(top.leaves())
    shared = _shared(leaves)
    parts = [f"# {name}", NOTE, wrapped(plain(top.help))]
    if shared:
        parts += [
            "## Options of many commands",
            "Commands that have them name them under *also*.",
            _table(shared.values()).rstrip(),
        ]
    parts.append("## Commands")
    groups = list(top.below.values()) or [top]
    parts.append(wrapped(", ".join(f"[{_name(g)}](#{_slug(g.path)})" for g in groups)))
    for group in groups:
        parts += _group(group, shared)
    return "\n\n".join(p for p in parts if p) + "\n"


def _name(command: Command) -> str:
    return command.path.rpartition(" ")[2]


def _slug(path: str) -> str:
    return path.replace(" ", "-")


def _group(group: Command, shared: dict[Any, Any]) -> list[str]:
    parts = [f"## {group.path}"]
    if group.below:
        parts.append(wrapped(plain(group.help)))
        for leaf in group.leaves():
            parts += [f"### {leaf.path}", *_leaf(leaf, shared)]
    else:
        parts += _leaf(group, shared)
    return parts


def _leaf(leaf: Command, shared: dict[Any, Any]) -> list[str]:
    own = [p for p in leaf.parameters if _key(p) not in shared and p.opts[0] not in COMPLETION]
    also = [p.opts[0] for p in leaf.parameters if _key(p) in shared]
    usage = [leaf.path]
    usage += [_metavar(p) for p in leaf.parameters if p.param_type_name == "argument"]
    usage += [
        f"{p.opts[0]} {_kind(p)}" for p in own if p.param_type_name == "option" and p.required
    ]
    parts = [f"    {' '.join(usage)}", wrapped(plain(leaf.help))]
    if leaf.path in HANDED_OVER:
        other = HANDED_OVER[leaf.path]
        program = other.split()[0]
        parts.append(f"Everything behind it is [{other}]({program}.md#{_slug(other)})'s.")
    if own:
        parts.append(_table(own).rstrip())
    if also:
        parts.append("Also: " + ", ".join(code(o) for o in also) + ".")
    return parts


def _table(parameters: Iterable[Any]) -> str:
    return table(("argument or option", "default", "what"), (_row(p) for p in parameters))


def _row(p: Any) -> tuple[str, ...]:
    if p.param_type_name == "argument":
        spelled = code(_metavar(p))
    else:
        kind = "" if p.is_flag else f" {_kind(p)}"
        spelled = ", ".join(
            code(o + (kind if o == p.opts[0] else "")) for o in (*p.opts, *p.secondary_opts)
        )
    text = plain(getattr(p, "help", None) or "")
    if p.envvar:
        text += f"{' ' if text else ''}Or {code(p.envvar)} in the environment."
    if p.required and p.param_type_name == "option":
        text = f"**Needed.** {text}"
    return spelled, _default(p), text.strip()


def _metavar(p: Any) -> str:
    word: str = (p.metavar or p.name.upper()).strip("[]")
    word += "…" if p.nargs == -1 else ""
    return word if p.required else f"[{word}]"


def _kind(p: Any) -> str:
    if p.metavar:
        return str(p.metavar)
    word = {"str": "TEXT", "int": "N", "float": "N", "int range": "N", "float range": "N"}
    return word.get(p.type.name, p.type.name.upper())


def _default(p: Any) -> str:
    value = p.default
    if callable(value) or value in (None, "", (), []) or value is False or p.required:
        return ""
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        return "the shipped one"
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return "on" if value is True else code(str(value))


def _key(p: Any) -> tuple[Any, ...]:
    return (p.param_type_name, tuple(p.opts), getattr(p, "help", ""), repr(p.default), p.required)


def _shared(leaves: Iterable[Command]) -> dict[Any, Any]:
    seen: Counter[Any] = Counter()
    first: dict[Any, Any] = {}
    for leaf in leaves:
        for p in leaf.parameters:
            if p.param_type_name == "option":
                seen[_key(p)] += 1
                first.setdefault(_key(p), p)
    return {k: first[k] for k in sorted(first, key=lambda k: k[1]) if seen[k] >= SHARED_FROM}
