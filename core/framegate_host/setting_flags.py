"""The flags of a program's commands, made from its record of settings."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, get_origin, get_type_hints

import typer

from framegate_host import console
from framegate_host.console import EXIT_USAGE
from framegate_host.rereading import Rereader
from framegate_host.setting_records import CONFIG, Declared, Place, Settings, declared, prefix_of
from framegate_host.setting_values import Shape, kind_of, limits, text_of
from framegate_host.settings import Given, resolve

_CONTEXT: Final = "settings_context"
_NOT: Final = "no_"
"""Before the name of a switch: what takes it back."""
_TYPED: Final = "COMMANDLINE"
"""typer's name for a value that was typed, not its default."""
Command = Callable[..., None]


def config_option(record: type[Settings]) -> Any:
    """--config FILE, for typer."""
    return typer.Option(
        f"--{CONFIG}",
        envvar=prefix_of(record.PROGRAM) + CONFIG.upper(),
        metavar="<file>",
        help="TOML file of settings.",
    )


def with_settings(record: type[Settings]) -> Callable[[Command], Command]:
    """A command that takes settings: every one as a parameter of type `record`, or some by name.

    A parameter of type `Rereader` gets what reads them again while the command runs. A parameter
    counts as a setting where a setting has its name and it is no argument or option of
    its own. Each is a flag; with --config a file has a say too. What is wrong with them is told,
    with exit code 2, before the command begins.
    """

    def decorate(work: Command) -> Command:
        known, hints = declared(record), get_type_hints(work, include_extras=True)
        own = inspect.signature(work).parameters
        whole = next((name for name in own if hints[name] is record), None)
        again = next((name for name in own if hints[name] is Rereader), None)
        some = [n for n in own if n in known and get_origin(hints[n]) is not Annotated]
        offered = list(known.values()) if whole else [known[name] for name in some]
        if strange := [name for name in some if kind_of(hints[name]) != known[name].kind]:
            raise TypeError(f"{work.__name__}: {strange} are of other types than the settings")

        @functools.wraps(work)
        def run(**given: Any) -> None:
            all_given = _given(offered, given)
            resolved = resolve(record, all_given)
            with console.errors(lambda _: EXIT_USAGE):
                chosen: dict[str, Any] = (
                    {whole: resolved.settings()} if whole else resolved.some(some)
                )
            if again is not None:
                chosen[again] = Rereader(record, all_given)
            work(**given, **chosen)

        ours = {whole, again, *some}
        kept = [own[n].replace(annotation=hints[n]) for n in own if n not in ours]
        return _shown_as(run, [*kept, *_flags(record, offered)], record if whole else None)

    return decorate


def _shown_as(
    run: Command, parameters: Sequence[inspect.Parameter], record: type[Settings] | None
) -> Command:
    """`run` with the signature that typer is to see, and how flags are outdone in its help."""
    ordered = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in ordered}
    del run.__wrapped__  # type: ignore[attr-defined]
    if record is not None:
        run.__doc__ = f"{inspect.getdoc(run)}\n\n{_ways(record)}"
    return run


def _ways(record: type[Settings]) -> str:
    """How else an option may be given, by the example of one."""
    one = next(o for o in declared(record).values() if o.kind.base in {int, float})
    return (
        f"An option is also a key of the --config file ({one.written(Place.FILE)}) and a variable "
        f"of the environment ({one.variables[0]}). What is typed comes before the variable, the "
        f"variable before the file; --no-NAME takes a switch back. framegate-{record.PROGRAM} "
        "config check looks a file over."
    )


def _given(offered: Iterable[Declared], given: dict[str, Any]) -> Given:
    """What was typed, out of what typer hands over; the rest stays in `given`."""
    context, file = given.pop(_CONTEXT), given.pop(CONFIG)
    flags = {}
    for one in offered:
        value = given.pop(one.name)
        if _is_typed(context, one.name):
            flags[one.name] = _texts(one, value)
        if one.kind.base is bool and given.pop(_NOT + one.name):
            flags[one.name] = ("false",)
    return Given(file, os.environ, flags)


def _is_typed(context: typer.Context, name: str) -> bool:
    return getattr(context.get_parameter_source(name), "name", "") == _TYPED


def _texts(one: Declared, value: Any) -> tuple[str, ...]:
    if one.kind.base is bool:
        return ("true",)
    return (value,) if one.kind.shape is Shape.ONE else tuple(value)


def _flags(record: type[Settings], offered: Iterable[Declared]) -> list[inspect.Parameter]:
    """The parameters of typer for these settings, and for the file."""
    parameters = [_parameter(CONFIG, Path | None, config_option(record), None)]
    for one in offered:
        parameters.append(_parameter(one.name, _type(one), _option(one), _default(one)))
        if one.kind.base is bool:
            name = _NOT + one.name
            back = typer.Option(f"--{name.replace('_', '-')}", hidden=True)
            parameters.append(_parameter(name, bool, back, False))
    parameters.append(_parameter(_CONTEXT, typer.Context, None, inspect.Parameter.empty))
    return parameters


def _parameter(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    annotation = Annotated[kind, option] if option is not None else kind
    where = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, where, default=default, annotation=annotation)


def _option(one: Declared) -> Any:
    names = [one.flag, *([one.setting.short] if one.setting.short else [])]
    switch = one.kind.base is bool
    return typer.Option(*names, help=_help(one), metavar=None if switch else _metavar(one))


def _type(one: Declared) -> Any:
    if one.kind.base is bool:
        return bool
    return str if one.kind.shape is Shape.ONE else list[str]


def _default(one: Declared) -> Any:
    """For the help; what counts is read elsewhere."""
    if one.kind.base is bool:
        return False
    if one.required or one.default in (None, "", ()):
        return None
    if one.kind.shape is Shape.ONE:
        return text_of(one.default)
    return [*one.default] if one.kind.shape is Shape.MANY else text_of(one.default).split()


def _metavar(one: Declared) -> str:
    if one.kind.choices:
        return "|".join(one.kind.choices)
    if one.kind.shape is Shape.TABLE:
        return "<name>=<int>"
    if one.setting.there:
        return f"<{one.setting.there}>"
    form = one.setting.form
    if form is not None and " " not in form.label:
        return f"<{form.label}>"
    return f"<{one.kind.base.__name__.lower()}>"


def _help(one: Declared) -> str:
    """What it means, its limits, whether it is needed, and an unusual variable."""
    unit, limit = one.setting.unit, limits(one.setting).removeprefix("from ")
    more = [" ".join(filter(None, (limit, unit)))] if limit else []
    more += ["may be repeated"] if one.kind.shape is not Shape.ONE else []
    more += ["required"] if one.required else []
    more += [f"also {each}" for each in one.variables[1:]]
    return f"{one.setting.help} ({'; '.join(more)})" if more else one.setting.help
