import pytest
import torch
import torch.nn.functional as F

from dld_spotter.core.charset import PADDING, Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.recognition import sequence_cross_entropy
from dld_spotter.selection.drs import DRSObjective, expected_cost, image_mean

CHARSET = Charset("abc")
IMAGES, SCALES = 3, 4
IMAGE_INDEX = torch.tensor([2, 0, 2, 2])  # image 1 has no word
LABELS = CHARSET.encode(["ab", "c", "", "abc"], 4)


@pytest.fixture
def reading():
    """Student logits at every scale, the teacher's, and detection losses."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(SCALES, len(LABELS), 4, len(CHARSET), generator=generator)
    teacher = torch.randn(len(LABELS), 4, len(CHARSET), generator=generator)
    return student, teacher, torch.rand(IMAGES, SCALES, generator=generator)


def decide(*scales):
    return F.one_hot(torch.tensor(scales), SCALES).float()


def words_by_hand(objective, student, teacher):
    """Loss of each word, characters averaged."""
    if objective == "cross_entropy":
        return sequence_cross_entropy(student, LABELS)
    rows = []
    for word, labels in enumerate(LABELS):
        steps = int((labels != PADDING).sum())
        p, q = teacher[word, :steps].softmax(-1), student[word, :steps].softmax(-1)
        rows.append((p * (p / q).log()).sum() / steps)
    return torch.stack(rows)


@pytest.mark.parametrize("objective", ["kl", "cross_entropy"])
@pytest.mark.parametrize("scales", [(0, 0, 0), (3, 1, 2)])
def test_a_decision_costs_what_its_scale_costs(reading, objective, scales):
    student, teacher, detection = reading
    words = [words_by_hand(objective, student[scale], teacher) for scale in scales]
    expected = [words[0][1], torch.tensor(0.0), words[2][[0, 2, 3]].mean()]
    found = DRSObjective(objective).accuracy(decide(*scales), student, teacher, LABELS, IMAGE_INDEX, detection)
    torch.testing.assert_close(found, torch.stack(expected).mean())
    with_detection = DRSObjective(objective, 0.5).accuracy(decide(*scales), student, teacher, LABELS, IMAGE_INDEX, detection)
    torch.testing.assert_close(with_detection, found + 0.5 * detection[range(IMAGES), scales].mean())


def test_soft_decisions_mix_the_outputs(reading):
    student, teacher, detection = reading
    soft = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.7, 0.0, 0.0, 0.3]])
    mixed = torch.stack(
        [sum(soft[image, k] * student[k, word] for k in range(SCALES)) for word, image in enumerate(IMAGE_INDEX)]
    )
    words = words_by_hand("kl", mixed, teacher)
    expected = torch.stack([words[1], torch.tensor(0.0), words[[0, 2, 3]].mean()]).mean()
    found = DRSObjective("kl").accuracy(soft, student, teacher, LABELS, IMAGE_INDEX, detection)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("objective", ["kl", "cross_entropy"])
def test_only_the_decision_of_images_with_words_carries_a_gradient(reading, objective):
    student, teacher, detection = reading
    logits = torch.randn(IMAGES, SCALES, requires_grad=True)
    torch.manual_seed(0)
    one_hot = F.gumbel_softmax(logits, tau=1.0, hard=True)
    DRSObjective(objective).accuracy(one_hot, student, teacher, LABELS, IMAGE_INDEX, detection).backward()
    assert logits.grad[[0, 2]].abs().sum(1).min() > 0
    assert not logits.grad[1].any()


def test_gradient_prefers_the_better_scale():
    """A student that reads at the last scale only: the decision moves towards it."""
    labels = CHARSET.encode(["ab"], 4)
    truth = 9 * F.one_hot(labels, len(CHARSET)).float()
    student = torch.stack([torch.zeros_like(truth)] * 3 + [truth])
    for objective in ("kl", "cross_entropy"):
        one_hot = decide(0).requires_grad_()
        loss = DRSObjective(objective).accuracy(one_hot, student, truth, labels, torch.tensor([0]), torch.zeros(1, SCALES))
        loss.backward()
        assert one_hot.grad[0].argmin() == 3


@pytest.mark.parametrize("objective", ["kl", "cross_entropy"])
def test_no_word_at_all(reading, objective):
    student, teacher, detection = reading
    one_hot = decide(0, 1, 2).requires_grad_()
    none = torch.zeros(0, dtype=torch.int64)
    arguments = (student[:, none], teacher[none], LABELS[none], none, detection)
    loss = DRSObjective(objective).accuracy(one_hot, *arguments)
    assert float(loss) == 0
    loss.backward()
    assert not one_hot.grad.any()
    torch.testing.assert_close(
        DRSObjective(objective, 1.0).accuracy(one_hot, *arguments).detach(), detection[range(3), range(3)].mean()
    )


def test_image_mean():
    found = image_mean(torch.tensor([1.0, 2.0, 6.0, 4.0]), torch.tensor([0, 2, 2, 2]), 4)
    assert found.tolist() == [1, 0, 4, 0]


def test_expected_cost():
    relative = torch.tensor([[0.1, 0.3, 0.6, 1.0], [0.2, 0.4, 0.5, 1.0]])
    assert float(expected_cost(decide(1, 3), relative)) == pytest.approx(0.65)
    soft = torch.full((2, 4), 0.25, requires_grad=True)
    loss = expected_cost(soft, relative)
    assert float(loss) == pytest.approx(relative.mean())
    loss.backward()
    torch.testing.assert_close(soft.grad, relative / 2)


def test_unknown_objective_is_refused():
    with pytest.raises(ConfigError, match=r"kl, cross_entropy.*l1"):
        DRSObjective("l1")
