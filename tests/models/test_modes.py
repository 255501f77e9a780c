from torch import nn

from dld_spotter.models.modes import evaluating


def test_every_part_gets_its_own_mode_back():
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(), nn.ReLU())).train()
    module[0].eval()
    with evaluating(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == [True, False, True, True, True]
