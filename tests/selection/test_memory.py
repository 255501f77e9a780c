import torch

from dld_spotter.selection.memory import Memory


def test_memory_keeps_the_latest_rows():
    memory = Memory(5)
    for start in range(0, 9, 3):
        rows = torch.arange(start, start + 3)
        memory.add(rows, 10.0 * rows[:, None])
        assert len(memory) == min(start + 3, 5)
        numbers, tenfold = memory.rows()
        assert sorted(numbers.tolist()) == list(range(start + 3))[-5:]
        assert torch.equal(tenfold[:, 0], 10.0 * numbers)
    torch.manual_seed(0)
    numbers, tenfold = memory.draw(200)
    assert set(numbers.tolist()) == {4, 5, 6, 7, 8}
    assert torch.equal(tenfold[:, 0], 10.0 * numbers)


def test_memory_keeps_the_last_of_too_many_rows():
    memory = Memory(5)
    memory.add(torch.arange(12))
    assert sorted(memory.rows()[0].tolist()) == [7, 8, 9, 10, 11]
