"""Earlier names of classes, settings and options."""

from pydoc import locate

import pytest

from dld_spotter.core.aliases import CLASSES, OPTIONS, OVERRIDES, SETTINGS, renamed, renamed_override


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        ("second_look=true", "two_pass=true"),
        ("escalation.price=4", "second_pass.gain_threshold=4"),
        ("escalation.legible=9", "second_pass.min_height=9"),
        ("escalation=default", "second_pass=default"),
        ("data=glances", "data=whole"),
        ("distillation=finding", "distillation=text_map"),
        ("distillation=none,finding", "distillation=none,text_map"),
        ("sheet=6", "contact_sheet=6"),
        ("model.student.close_up=true", "model.student.full_resolution_crops=true"),
        ("+model.student.strip=[8,64]", "++model.student.crop_size=[8,64]"),
        ("++escalation.price=${gamma}", "++second_pass.gain_threshold=${gamma}"),
        ("~escalation.legible", "~second_pass.min_height"),
        ("selector.false_price=0.4", "selector.false_positive_cost=0.4"),
        ("data.train.renderer.occlusion.legible=0.2", "data.train.renderer.occlusion.max_hidden=0.2"),
        ("escalation.price=1,2,4", "second_pass.gain_threshold=1,2,4"),
        (
            "data.train.datasets.rendered.renderer.layout.layouts.real_scenes.crops.share=0.9",
            "data.layouts.real_scenes.crops.share=0.9",
        ),
        ("data.train.datasets.rendered.renderer.layout.probabilities={scenes:1}", "data.probabilities={scenes:1}"),
        ("data.train.renderer.layout.layouts.scenes.probabilities.tiny=1", "data.text_sizes.tiny=1"),
    ],
)
def test_an_override_takes_its_present_name(earlier: str, now: str):
    assert renamed_override(earlier) == now
    assert renamed_override(now) == now


@pytest.mark.parametrize(
    "argument",
    [
        *(
            "gamma=0.3",
            "-m",
            "--help",
            "--config-name=price",
            "selector.false_positive_cost=0.5",
            "",
            "data=scenes",
            "prices_of=3",
        ),
        *("data.train.renderer.words.mix.price=0.1", "price=3"),
        *("out=escalation", "data.root=/price/ladder", "ckpt=runs/ladder/student.ckpt", "/spotter@model.student=tiny"),
        *("input=a photo.jpg", "input=escalation.price=4", "input=second_look\nprice=1"),
    ],
)
def test_what_is_no_earlier_name_stays(argument: str):
    assert renamed_override(argument) == argument


def test_values_of_a_checkpoint_take_present_names_at_any_depth():
    before = {
        "ladder": {"prices": [4.0, "inf"], "scales": [0.5, 1.0]},
        "model": {"student": {"_target_": "dld_spotter.models.spotter.TextMapSpotter", "close_up": True, "strip": [8, 64]}},
        "several": [{"_target_": "dld_spotter.models.selector.FixedScale"}, {"price": 1}, "price"],
    }
    now = {
        "operating_points": {"gain_thresholds": [4.0, "inf"], "scales": [0.5, 1.0]},
        "model": {
            "student": {
                "_target_": "dld_spotter.models.spotter.TextMapSpotter",
                "full_resolution_crops": True,
                "crop_size": [8, 64],
            }
        },
        "several": [{"_target_": "dld_spotter.selection.baselines.FixedScale"}, {"gain_threshold": 1}, "price"],
    }
    assert renamed(before) == renamed(now) == now


def test_the_names_of_now_are_none_of_before():
    for table in (CLASSES, SETTINGS, OVERRIDES, OPTIONS):
        assert not set(table) & set(table.values())
    assert all(locate(name) is not None for name in CLASSES.values())
    assert all(locate(name) is None for name in CLASSES)
