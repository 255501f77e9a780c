"""What was probably meant where an override names a setting or an option that a command does not have."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from dld_spotter.config.studies import GROUP, renamed_studies
from dld_spotter.core.aliases import OPTIONS, OVERRIDES, renamed_override
from dld_spotter.core.errors import ConfigError

NEAR = 0.7
"""Least similarity, from 0 to 1, of what is suggested in place of a name."""
LAUNCHERS, PLUGINS = "hydra/launcher", {"joblib": "joblib", "submitit_slurm": "submitit", "submitit_local": "submitit"}
"""Group of Hydra, and its options that are not there without an extra -> the extra."""
MOST = 3
"""So many settings are suggested at most where only the last part of a name is known."""
UNKNOWN_KEY = re.compile(r"Could not (?:override|delete from config\.) '(?P<key>[^']+)'")


def refuse_unknown_flags(arguments: Sequence[str]) -> None:
    """Refuse what begins with a dash and is no flag of Hydra; settings have no dashes here.

    Raises:
        ConfigError: there is such an argument.
    """
    _, unknown = get_args_parser().parse_known_args(list(arguments))
    for argument in unknown:
        if argument.startswith("-"):
            flags = re.findall(r"--[a-z-]+", get_args_parser().format_usage())
            near = get_close_matches(argument.partition("=")[0], flags, n=1, cutoff=NEAR)
            remedy = f"did you mean {near[0]}?" if near else "settings are KEY=VALUE without dashes, and --help lists them"
            raise ConfigError(f"{argument} is no flag; {remedy}")


def explained(error: BaseException, conf: Path, command: str, arguments: Sequence[str]) -> str | None:
    """Say in one sentence which setting or option is unknown, and which known one is near; None for other errors.

    Args:
        error: what Hydra or OmegaConf raised.
        conf: folder of the configurations.
        command: name of its configuration there.
        arguments: of the command line, as they were given.
    """
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if group == LAUNCHERS and option in PLUGINS:
            return f"launcher={option} needs a plugin of Hydra; install the extra: pip install 'dld-spotter[{PLUGINS[option]}]'"
        return unknown_option(group, option, error.options, _earlier_options(group, conf), _as_given(group, option, arguments))
    if key := _unknown_key(error):
        given = next((path for path in map(_path, arguments) if renamed_override(path) == key), key)
        known = _known_keys(conf, command, arguments)
        return None if key in known else unknown_key(command, given, known)  # Hydra deletes nothing that is null
    return None


def unknown_option(
    group: str, option: str, options: Sequence[str], earlier: Mapping[str, str] | None = None, given: str | None = None
) -> str:
    """Say that ``group`` has no such option.

    Args:
        group: folder of the options.
        option: what was asked for.
        options: what there is.
        earlier: earlier name of an option -> present name.
        given: group as it was written, such as ``spotter@model.teacher``; None for ``group``.

    >>> unknown_option("selector", "gumbl", ["fixed", "gumbel"])
    'selector=gumbl is no option of selector; did you mean selector=gumbel?'
    """
    key = given or group
    meant = {name: name for name in options} | dict(earlier or {})
    near = [meant[name] for name in get_close_matches(option, meant, n=1, cutoff=NEAR)]
    remedy = f"did you mean {key}={near[0]}?" if near else f"choose one of {', '.join(sorted(options))}"
    return f"{key}={option} is no option of {group}; {remedy}"


def unknown_key(command: str, key: str, known: Iterable[str]) -> str:
    """Say that a command has no such setting.

    >>> unknown_key("train", "stages.teacher.epoch", ["stages.teacher.epochs", "seed"])
    'train has no setting stages.teacher.epoch; did you mean stages.teacher.epochs?'
    """
    meant = {spelling: name for name in known for spelling in _spellings(name)}
    best = max(meant, key=lambda spelling: _similarity(key, spelling), default="")
    near = [meant[best]] if _similarity(key, best)[0] >= NEAR else []
    near = (
        near or [name for name in known if name.endswith(f".{key}") or name.startswith(f"{key}@")][:MOST]
    )  # without its place
    remedy = f"did you mean {' or '.join(near)}?" if near else "--help lists what can be chosen, --cfg job every setting"
    return f"{command} has no setting {key}; {remedy}"


def _similarity(key: str, other: str) -> tuple[float, float]:
    """Similarity of the parts that differ most, and of all of them; 0 where one key lies deeper than the other."""
    parts, others = key.split("."), other.split(".")
    if len(parts) != len(others):
        return 0.0, 0.0
    ratios = [SequenceMatcher(None, *pair).ratio() for pair in zip(parts, others, strict=True)]
    return min(ratios), sum(ratios)


def _unknown_key(error: BaseException) -> str | None:
    """The key that is unknown to the configuration, or to the types that a command gives it."""
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return str(error.full_key) if error.full_key else None
    found = UNKNOWN_KEY.search(str(error)) if isinstance(error, HydraException) else None
    return found["key"] if found else None


def _known_keys(conf: Path, command: str, arguments: Sequence[str]) -> list[str]:
    """Every setting of a command with the options that were chosen, and its groups; the shallow ones first."""
    groups = [one for one in map(renamed_override, arguments) if (conf / _path(one).partition("@")[0]).is_dir()]
    GlobalHydra.instance().clear()  # of the command, which has failed and needs it no longer
    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            config = compose(command, [one for one in groups if "," not in one], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException):  # more than one argument is wrong
            config = compose(command, return_hydra_config=True)
    choices = [key for key in config.hydra.runtime.choices if not key.startswith("hydra/")]
    settings = [path for path in _paths(OmegaConf.to_container(config)) if path.partition(".")[0] != "hydra"]
    return sorted([*choices, *settings], key=lambda key: key.count("."))


def _paths(tree: Any, above: str = "") -> Iterator[str]:
    """The paths of all values in a tree of mappings."""
    for key, value in tree.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{above}{key}.")


def _spellings(key: str) -> list[str]:
    """A setting's name, and the earlier ones that lead to it."""
    parts = f".{key}."
    earlier = [parts.replace(f".{now}.", f".{then}.")[1:-1] for then, now in OVERRIDES.items()]
    return list(dict.fromkeys([*earlier, key]))


def _earlier_options(group: str, conf: Path) -> dict[str, str]:
    """Earlier name of an option of ``group`` -> present name."""
    if group == GROUP:
        return renamed_studies(conf.with_name(GROUP))
    pairs = [(then.partition("="), now.partition("=")) for then, now in OPTIONS.items()]
    return {then[2]: now[2] for then, now in pairs if then[0] == group}


def _as_given(group: str, option: str, arguments: Sequence[str]) -> str | None:
    """A group as the command line writes it beside an option, with its sign and where it is mounted."""
    return next((one.partition("=")[0] for one in arguments if _asks_for(one, group, option)), None)


def _asks_for(argument: str, group: str, option: str) -> bool:
    """Whether an override chooses an option of a group, under its present or an earlier name."""
    options = (one.strip() for one in renamed_override(argument).partition("=")[2].split(","))
    return _path(argument).lstrip("/").partition("@")[0] == group and (option in options or group == GROUP)


def _path(argument: str) -> str:
    """The key of an override, without its sign and its value."""
    return argument.partition("=")[0].lstrip("+~")
