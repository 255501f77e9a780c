"""Against values computed elsewhere from the same logits; ``cases/README.md`` says how."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dld_spotter.losses.distillation import sequence_loss, squared_difference, token_kl
from dld_spotter.models.decoding import path_log_probability

CASES = Path(__file__).parent / "cases"
EXPECTED = json.loads((CASES / "expected.json").read_text("utf-8"))


@pytest.fixture(params=EXPECTED, ids=lambda expected: expected["file"])
def case(request):
    expected = request.param
    logits = np.load(CASES / expected["file"])
    return expected, torch.from_numpy(logits["student_logits"]), torch.from_numpy(logits["teacher_logits"])


@pytest.mark.parametrize("temperature", [1, 2, 5])
def test_token_kl(case, temperature):
    expected, student, teacher = case
    assert float(token_kl(student, teacher, temperature)) == pytest.approx(expected["token_kl"][str(temperature)], abs=1e-6)


def test_squared_difference(case):
    expected, student, teacher = case
    assert float(squared_difference(student, teacher)) == pytest.approx(expected["mse"], abs=1e-6)


def test_paths(case):
    expected, student, _ = case
    words, length, _ = student.shape
    paths = torch.zeros(words, len(expected["paths"][0]), length, dtype=torch.int64)
    for word, beams in enumerate(expected["paths"]):
        for beam, path in enumerate(beams):
            paths[word, beam, : len(path)] = torch.tensor(path)
    found = path_log_probability(student[:, None].expand(-1, paths.shape[1], -1, -1), paths)
    np.testing.assert_allclose(found, expected["path_log_prob"], rtol=0, atol=1e-6)
    assert float(sequence_loss(found)) == pytest.approx(expected["sequence_loss_sum"], abs=1e-6)
