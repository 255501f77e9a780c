import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.training import precision as module
from dld_spotter.training.precision import precision


@pytest.mark.parametrize("half", [True, False])
def test_auto_is_what_the_accelerator_computes_in(monkeypatch, half):
    monkeypatch.setattr(module, "computes_in_half", lambda accelerator: half)
    assert precision("auto", "cpu") == ("bf16-mixed" if half else "32-true")
    assert precision("32-true", "cpu") == "32-true"
    assert precision(64, "cpu") == 64


def test_half_precision_is_refused_where_it_would_fail(monkeypatch):
    monkeypatch.setattr(module, "computes_in_half", lambda accelerator: False)
    with pytest.raises(ConfigError, match=r"trainer\.precision=32-true$"):
        precision("bf16-mixed", "cpu")


def test_half_precision_is_taken_where_it_is_computed_in(monkeypatch):
    monkeypatch.setattr(module, "computes_in_half", lambda accelerator: True)
    assert precision("bf16-mixed", "cpu") == "bf16-mixed"
