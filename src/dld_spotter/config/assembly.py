"""From configuration to objects; the only place beside the entry points that knows Hydra."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hydra.utils import instantiate
from lightning import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from omegaconf import DictConfig, OmegaConf, open_dict
from torch.utils.data import DataLoader, Subset

from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.files import write_text
from dld_spotter.data.cache import CachedDataset, cache_folder
from dld_spotter.data.datamodule import SpottingDataModule
from dld_spotter.data.jitter import JitteredDataset
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.data.splits import refuse_overlap
from dld_spotter.data.transforms import TransformedDataset
from dld_spotter.inference.checkpoint import FORMAT, Checkpoint, load_checkpoint, load_weights
from dld_spotter.losses.distillation import Distillation
from dld_spotter.models.backbone import published_settings
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.selector import Selector
from dld_spotter.training.checkpoints import WholeFiles
from dld_spotter.training.components import Frozen, Optimization, ScaleSelection, StageLosses
from dld_spotter.training.modules import ControlModule, DLDModule, TeacherModule, same_shapes
from dld_spotter.training.precision import precision
from dld_spotter.training.processes import is_first

Distilling = TypeVar("Distilling", bound=DLDModule)
create = partial(instantiate, _convert_="all")
"""Build an object from its configuration, its arguments being plain lists and dictionaries."""
CHECKPOINTS = ("best", "last")
"""Callbacks that write into the folder of their stage."""


def candidate_scales(config: DictConfig) -> list[float]:
    """The scales of a run.

    Raises:
        ConfigError: they are not ascending numbers above 0, or 1.0 is not among them.
    """
    try:
        scales = [float(scale) for scale in config.scales]
    except (TypeError, ValueError):
        scales = []
    if 1.0 not in scales or scales != sorted(set(scales)) or scales[0] <= 0:
        raise ConfigError(
            f"scales={config.scales} must be ascending, above 0, and hold 1.0, the reference resolution; give such as [0.5,1.0]"
        )
    return scales


def provenance(config: DictConfig) -> dict[str, Any]:
    """Plain values that let a checkpoint be used without this configuration."""
    model = OmegaConf.to_container(config.model, resolve=True)
    for part in model.values():
        backbone = part.get("backbone", {})
        if backbone.get("pretrained") is not None:  # whoever loads the checkpoint has its weights, and fetches none
            backbone |= {"pretrained": None} | published_settings(backbone["pretrained"])
    return {
        "format": FORMAT,
        "model": model | {"selector": OmegaConf.to_container(config.selector, resolve=True)},
        "scales": candidate_scales(config),
        "thumbnail": int(config.thumbnail),
    }


def plain(config: DictConfig) -> dict[str, Any]:
    """Plain values of a configuration; ``data.module`` stays as it is written, since it repeats what stands beside it."""
    values = OmegaConf.to_container(config, resolve=True)
    if "data" in values:
        values["data"]["module"] = OmegaConf.to_container(config.data.module)
    return values


def save_config(config: DictConfig, folder: Path) -> None:
    """Write a configuration to ``config.yaml``."""
    write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(plain(config))))


def build_data(config: DictConfig, stage: str = "distillation", spotter: Spotter | None = None) -> SpottingDataModule:
    """Build the data module.

    Args:
        config: of the training.
        stage: the teacher stage trains on one view per batch, at a scale drawn at random.
        spotter: whose targets are drawn; None for those of the usual text map.
    """
    resolved = OmegaConf.to_container(config.data.module, resolve=True)
    collate = resolved["train_collate"]
    collate["draw_one"] = stage == "teacher"
    if spotter is not None:
        collate |= {name: value for name, value in spotter.target_settings.items() if collate.get(name) is None}
    data: SpottingDataModule = create(resolved)
    refuse_overlap(train=data.train, validation=data.validation, test=data.test)
    if config.data.cache is not None and data.train is not None:
        data.train = CachedDataset(data.train, cache_folder(config.data.cache, resolved["train"]))
    return data


def build_test_samples(config: DictConfig, images: int | None = None, jitter: float | None = None) -> DataLoader:
    """Build what serves the test images one by one; training data need not be there.

    Args:
        config: of the entry point.
        images: at most so many of them.
        jitter: moved by up to so many pixels.

    Raises:
        ConfigError: ``images`` is no positive number, or ``jitter`` none of a few pixels.
    """
    if images is not None and (not isinstance(images, int) or images < 1):
        raise ConfigError(f"images={images} to score must be a whole number of at least 1; null takes all")
    data = _part_of(config, "test")
    if images is not None:
        data.test = Subset(data.test, range(min(images, len(data.test))))
    if jitter is not None:
        data.test = JitteredDataset(data.test, jitter, seed=config.seed)
    return data.test_samples()


def build_reference(config: DictConfig) -> ReferenceSize:
    """Build the rule for the reference resolution of a data set's images."""
    return create(config.data.collate.reference) if "reference" in config.data.collate else ReferenceSize()


def build_validation_loader(config: DictConfig) -> DataLoader | None:
    """Build the loader of the validation images, where there are any."""
    data = _part_of(config, "validation")
    return data.val_dataloader() if data.validation is not None else None


def build_whole_samples(config: DictConfig, images: int) -> DataLoader:
    """Build what serves the first training images one by one, whole and unchanged, in the order of evaluation."""
    data = _whole(config, images)
    data.test = data.validation
    return data.test_samples()


def build_validation_samples(config: DictConfig) -> DataLoader | None:
    """Build what serves the validation images one by one, where there are any."""
    data = _part_of(config, "validation")
    data.test = data.validation
    return data.test_samples() if data.test is not None else None


def _whole(config: DictConfig, images: int) -> SpottingDataModule:
    """The first training images, whole and unchanged, in the place of validation images."""
    data = _part_of(config, "train")
    train = data.train.dataset if isinstance(data.train, TransformedDataset) else data.train
    endless = getattr(train, "endless", False)
    data.validation = Subset(train, range(images if endless else min(images, len(train))))
    return data


def _part_of(config: DictConfig, part: str) -> SpottingDataModule:
    """Build the data module with one of its data sets alone."""
    others = dict.fromkeys({"train", "validation", "test"} - {part})
    return create(OmegaConf.to_container(config.data.module, resolve=True) | others)


def adopt(config: DictConfig, checkpoint: Checkpoint) -> None:
    """Let the loaders of ``config`` serve what a checkpoint was trained with.

    What is taken over has been checked: numbers, and a charset of plain values (:mod:`dld_spotter.inference.provenance`).
    """
    facts = checkpoint.provenance
    with open_dict(config):
        config.scales = config.scales or list(facts["scales"])
        config.scales = candidate_scales(config)
        config.thumbnail = facts["thumbnail"]
        config.charset = checkpoint.config(checkpoint.reader)["charset"]


def build_teacher(config: DictConfig) -> Spotter:
    """Build the teacher, with the weights of ``stages.teacher.checkpoint`` where it names one.

    Raises:
        CheckpointError: the checkpoint is missing or does not fit.
        ConfigError: neither a checkpoint nor a teacher stage is asked for.
    """
    stage = config.stages.teacher
    if stage.checkpoint is None and not stage.epochs:
        raise ConfigError(
            "stages.teacher has neither a checkpoint nor epochs; give stages.teacher.checkpoint or stages.teacher.epochs"
        )
    teacher: Spotter = create(config.model.teacher)
    if stage.checkpoint is not None:
        checkpoint = load_checkpoint(stage.checkpoint, charset=teacher.charset)
        part = "teacher" if "teacher" in checkpoint.parts() else "student"
        family, own = (one["_target_"].rpartition(".")[2] for one in (checkpoint.config(part), config.model.teacher))
        if family != own:
            raise CheckpointError(
                f"stages.teacher.checkpoint={stage.checkpoint} holds a {family}, and a {own} is to be trained; give "
                f"stages.teacher.checkpoint=null stages.teacher.epochs=45 to train it from scratch, or weights of its own"
            )
        untrained = load_weights(teacher, checkpoint.weights(part), checkpoint.path, stage.partial)
        if untrained and is_first():
            print(f"{len(untrained)} tensors that {checkpoint.path} lacks start untrained, such as {untrained[0]}")
        if create(checkpoint.config(part)["charset"]) != teacher.charset:
            raise CheckpointError(
                f"checkpoint {checkpoint.path} writes other characters; give the charset= it was trained with"
            )
    return teacher


def build_teacher_module(config: DictConfig, teacher: Spotter) -> TeacherModule:
    """Build the module of the teacher stage."""
    stage = config.stages.teacher
    return TeacherModule(
        teacher, _losses(config), _optimization(config, stage), provenance(config), Frozen(_parts_to_freeze(stage))
    )


def build_dld_module(config: DictConfig, teacher: Spotter) -> DLDModule:
    """Build the module of the distillation stage, whose teacher may still be trained before the stage begins."""
    student: Spotter = create(config.model.student)
    selector: Selector = create(config.selector)
    selector.thumbnail = config.thumbnail
    terms = Distillation(create(config.distillation.terms))
    return _distilling(config, DLDModule, teacher, student, selector, terms)


def build_control_module(config: DictConfig, module: DLDModule) -> ControlModule | None:
    """Build the module of the control stage, which begins where ``module`` does before it is trained.

    Returns:
        None where no control is asked for, or nothing is distilled that it would be without.

    Raises:
        ConfigError: ``control`` is neither true nor false.
    """
    if not isinstance(config.control, bool):
        raise ConfigError(f"control={config.control} must be true, to train the control beside the student, or false")
    if not config.control or not len(module.distillation):
        return None
    student, selector = deepcopy(module.student), deepcopy(module.selector)
    return _distilling(config, ControlModule, module.teacher, student, selector, Distillation({}))


def _distilling(
    config: DictConfig,
    kind: type[Distilling],
    teacher: Spotter,
    student: Spotter,
    selector: Selector,
    distillation: Distillation,
) -> Distilling:
    """Build the module of the distillation stage, or of its control."""
    stage = config.stages.distillation
    fits = same_shapes(student, teacher)  # the student starts from the teacher's weights
    return kind(
        teacher,
        student,
        _selection(config, student, selector),
        distillation,
        _losses(config),
        _optimization(config, stage),
        provenance(config),
        Frozen(_parts_to_freeze(stage), normalization=fits),  # one that starts from nothing has no statistics to keep
    )


def _selection(config: DictConfig, student: Spotter, selector: Selector) -> ScaleSelection:
    """How the distillation stage chooses scales for a student."""
    objective = create(config.selection) if "selection" in config else None
    return ScaleSelection(selector, objective, create(config.cost)(student), config.stages.distillation.selector_lr)


def _losses(config: DictConfig) -> StageLosses:
    return StageLosses(create(config.detection_loss), create(config.recognition_loss), create(config.objective))


def _optimization(config: DictConfig, stage: DictConfig) -> Optimization:
    return Optimization(create(config.optimizer, lr=stage.lr), create(config.scheduler))


def _parts_to_freeze(stage: DictConfig) -> list[str]:
    return [stage.freeze] if isinstance(stage.freeze, str) else list(stage.freeze or [])


def build_loggers(config: DictConfig) -> list[Logger]:
    """Build the loggers of a run."""
    loggers = [create(logger) for logger in config.logger.values()]
    for logger in loggers:
        logger.log_hyperparams(plain(config))
    return loggers


def build_control_loggers(folder: Path) -> list[Logger]:
    """Build the logger of the control stage: a file of its own, as it logs under the names of the distillation stage."""
    return [CSVLogger(str(folder), name="", version="")]


def settle_precision(config: DictConfig) -> None:
    """Put the precision that is computed in into a configuration that leaves it open, for files and loggers to tell.

    Raises:
        ConfigError: it cannot be computed in.
    """
    config.trainer.precision = precision(config.trainer.precision, str(config.trainer.accelerator))


def build_trainer(config: DictConfig, loggers: list[Logger], folder: Path, epochs: int) -> Trainer:
    """Build the trainer of one stage, which keeps its checkpoints in ``folder``.

    Raises:
        ConfigError: the stage would be endless, or have no step.
    """
    if not isinstance(epochs, int) or epochs < 0:
        raise ConfigError(f"stages have epochs={epochs}, expected a whole number of at least 0; correct stages.*.epochs")
    for key in ("max_steps", "limit_train_batches"):
        if config.trainer.get(key) == 0:
            raise ConfigError(f"trainer.{key}=0 leaves a stage without steps; give stages.*.epochs=0 to skip the stage")
    callbacks: list[Callback] = [
        create(callback, **({"dirpath": str(folder)} if name in CHECKPOINTS else {}))
        for name, callback in config.callbacks.items()
        if config.trainer.get("limit_val_batches") != 0 or not callback.get("monitor")  # there is nothing to monitor
    ]
    return create(
        config.trainer,
        logger=loggers,
        callbacks=callbacks,
        max_epochs=epochs,
        default_root_dir=str(folder),
        plugins=[WholeFiles(), *create(config.trainer.get("plugins") or [])],
    )


def close_loggers(loggers: list[Logger], status: str = "success") -> None:
    """Finish every logger, W&B's process included, so that the next run of a sweep starts its own."""
    for logger in loggers:
        logger.finalize(status)
        if isinstance(logger, WandbLogger):
            logger.experiment.finish(exit_code=int(status != "success"))
