"""Score a checkpoint on a data set.

``python -m dld_spotter.evaluate ckpt=FILE data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path

import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dld_spotter.budget.requests import BUDGETS, Request
from dld_spotter.config import assembly
from dld_spotter.config.entry import entry_point
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.files import write_text
from dld_spotter.data.dataset import report_damage
from dld_spotter.evaluation.fates import FateCollector
from dld_spotter.evaluation.measuring import Counting, evaluate
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.evaluation.quality import QualityCollector
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.loading import predictor_of
from dld_spotter.metrics.lexicons import Lexicon
from dld_spotter.metrics.rules import Rules
from dld_spotter.tradeoff import table


def run(config: DictConfig, folder: Path) -> None:
    """Score and leave ``evaluation.json``, ``predictions.zip`` and, where asked for, the fates of words in ``folder``."""
    check_explain(config)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = load_checkpoint(config.ckpt, config.vocabulary)
    asked = config.scales
    assembly.adopt(config, checkpoint)
    request = Request(**{field.name: config[field.name] for field in fields(Request)})
    predictor = predictor_of(checkpoint, assembly.build_reference(config), config.device, precision=config.precision)
    predictor.check(request)
    if asked is not None and request.scale is None and (lacking := sorted(set(predictor.scales) - set(asked))):
        raise ConfigError(f"scales={list(asked)} lacks {lacking}, which the selector chooses among; leave scales out")
    lexicon = None if config.lexicon in (None, "none") else Lexicon.read(config.lexicon, config.policy)
    rules = Rules(config.protocol, config.task, config.iou, lexicon)
    samples = assembly.build_test_samples(config, config.images)
    form = PredictionForm.of(rules, samples.dataset)
    counting = Counting(rules, form)
    fates = FateCollector(predictor, counting, config.examples) if config.explain else None
    quality = QualityCollector(counting)
    observers = [quality] if fates is None else [quality, fates]
    point, words = evaluate(predictor, samples, request, counting, config.resamples, observers)
    report_damage([samples.dataset])
    spent = {"budget": point.relative_cost, "budget_gflops": point.gflops, "budget_ms": 1000 * point.seconds}
    vocabulary = predictor.backend.vocabulary
    facts = {
        "dataset": config.data.name,
        "protocol": config.protocol,
        "task": config.task,
        "lexicon": rules.lexicon_name,
        "vocabulary": vocabulary.name if vocabulary else "none",
        "images": len(words),
        "checkpoint": str(checkpoint.path),
        "backend": predictor.backend.describe(),
        "requested": asdict(request),
        "spent": spent,
    }
    form.write(folder / "predictions.zip", words)
    write_text(folder / "evaluation.json", json.dumps(facts | asdict(point) | quality.leave(folder), indent=1) + "\n")
    rich.print(table([point], f"{config.data.name}: {len(words)} images, {config.task}, lexicon {facts['lexicon']}"))
    if request.budgeted:
        name, amount = request.budgeted
        print(f"{name}={amount:g}: {spent[name]:.4g} {BUDGETS[name]} spent per image")
    print(quality)
    if fates is not None:
        fates.leave(folder)
    print(f"everything is in {folder}")


def check_explain(config: DictConfig) -> None:
    """Raise ConfigError if fates are asked for in a way that nobody understands."""
    if not isinstance(config.explain, bool):
        raise ConfigError(f"explain={config.explain} must be true or false; python -m dld_spotter.score explains single images")
    if not isinstance(config.examples, int) or config.examples < 0:
        raise ConfigError(f"examples={config.examples} must be a whole number of at least 0, the pictures of each fate")


@entry_point("evaluate")
def main(config: DictConfig) -> None:
    """Compose, evaluate, report."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
