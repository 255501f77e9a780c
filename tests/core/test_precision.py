import pytest

from dld_spotter.core import precision as module


def test_accelerators_without_a_test_are_believed():
    assert module.computes_in_half("mps")


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
@pytest.mark.parametrize(("onednn", "half"), [(True, True), (True, False), (False, True)])
def test_of_a_processor_onednn_is_asked(monkeypatch, accelerator, onednn, half):
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(module.torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(module.torch.backends.mkldnn, "is_available", lambda: onednn)
    monkeypatch.setattr(module.torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: half)
    assert module.computes_in_half(accelerator) is (onednn and half)


@pytest.mark.parametrize("half", [True, False])
def test_a_gpu_comes_before_the_processor(monkeypatch, half):
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(module.torch.cuda, "is_bf16_supported", lambda including_emulation: half)
    assert module.computes_in_half("auto") is half


@pytest.mark.parametrize(
    ("half", "avx512", "amx"), [(True, True, False), (True, False, True), (True, False, False), (False, True, True)]
)
def test_instructions_for_half_precision_are_those_of_the_processor(monkeypatch, half, avx512, amx):
    monkeypatch.setattr(module, "computes_in_half", lambda accelerator: half)
    monkeypatch.setattr(module.torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(module.torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert module.has_half_instructions() is (half and (avx512 or amx))
