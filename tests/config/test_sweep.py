from dataclasses import replace

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from dld_spotter.config.sweep import Job, JoinTradeOffs, common_models, find_jobs, job_names, join_jobs, main_points
from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import Point, TradeOff


def result(student: float, seconds: float = 0.1, teacher: float = 0.7, images: int = 9) -> TradeOff:
    """A teacher at two fixed scales and a dynamic student with this Hmean."""
    statics = [
        Point("static", model, hmean * scale, 0.5, 0.5, scale**2, 1.0, seconds, scale=scale)
        for model, hmean in (("teacher", teacher), ("student", student))
        for scale in (0.5, 1.0)
    ]
    dynamic = Point("dynamic", "student", student, 0.5, 0.5, 0.4, 1.0, seconds, gamma=0.3)
    return TradeOff("scenes", "rrc", "end_to_end", "none", images, "TextMapSpotter", None, (*statics, dynamic))


def write_job(folder, number, overrides, student=None, sub=""):
    """A job's folder as Hydra and training leave it; without a result where ``student`` is None."""
    (folder / sub / ".hydra").mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(overrides), folder / sub / ".hydra" / "overrides.yaml")
    OmegaConf.save(OmegaConf.create({"hydra": {"job": {"num": number}}}), folder / sub / ".hydra" / "hydra.yaml")
    if student is not None:
        result(student, seconds=number + 1).write(folder / sub / "tradeoff.json")


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([{}], [""]),
        ([{"a": "1"}], [""]),
        ([{"a.cost": "1", "seed": "2"}, {"a.cost": "3", "seed": "2"}], ["cost=1", "cost=3"]),
        ([{"a.lr": "1", "b.lr": "1"}, {"a.lr": "2", "b.lr": "3"}], ["a.lr=1 b.lr=1", "a.lr=2 b.lr=3"]),
        ([{"distillation": "token"}, {"distillation": "none"}], ["distillation=token", "distillation=none"]),
        ([{"+experiments": "a"}, {"+experiments": "b"}], ["experiments=a", "experiments=b"]),
        ([{"seed": "1"}, {"seed": "1", "x": "2"}], ["", "x=2"]),
    ],
)
def test_jobs_are_named_by_what_varies(overrides, names):
    assert job_names(overrides) == names


def test_teacher_of_all_jobs_stands_there_once():
    jobs = [Job({"cost": "0.1"}, result(0.5, seconds=0.1)), Job({"cost": "0.3"}, result(0.4, seconds=0.2))]
    joined = join_jobs(jobs)
    assert common_models([job.result for job in jobs]) == {"teacher"}
    assert len(joined.points) == 2 + 2 * 3
    assert [point.seconds for point in joined.select("static", "teacher")] == [0.1, 0.1]
    assert [point.hmean for point in joined.select("dynamic", "student cost=0.3")] == [0.4]


def test_runs_with_one_cost_weight_each_are_shown_as_one_curve():
    jobs = [Job({"w.cost": cost, "t": t}, result(0.5)) for cost in ("0.1", "0.3") for t in ("1", "2")]
    shown = [(point.method, point.model) for point in main_points(join_jobs(jobs))]
    assert sorted(shown) == [("dynamic", "student t=1")] * 2 + [("dynamic", "student t=2")] * 2 + [("static", "teacher")] * 2


def test_runs_with_several_cost_weights_are_shown_as_a_curve_each():
    one = result(0.5)
    one = replace(one, points=(*one.points, replace(one.points[-1], gamma=0.9)))
    shown = main_points(join_jobs([Job({"w.cost": cost}, one) for cost in ("0.1", "0.3")]))
    models = [point.model for point in shown if point.method == "dynamic"]
    assert sorted(models) == ["student cost=0.1"] * 2 + ["student cost=0.3"] * 2


def test_teachers_that_differ_are_told_apart():
    joined = join_jobs([Job({"lr": "1"}, result(0.5, teacher=0.7)), Job({"lr": "2"}, result(0.5, teacher=0.8))])
    assert {point.model for point in joined.select("static")} == {
        *("teacher lr=1", "teacher lr=2"),
        *("student lr=1", "student lr=2"),
    }


def test_dynamic_points_of_equal_students_are_kept():
    """Their fixed scales are equal, but selectors may differ."""
    first = result(0.5)
    second = replace(first, points=(*first.points[:-1], replace(first.points[-1], hmean=0.3)))
    joined = join_jobs([Job({"cost": "1"}, first), Job({"cost": "2"}, second)])
    assert [point.hmean for point in joined.select("dynamic")] == [0.5, 0.3]


def test_other_images_cannot_be_joined():
    with pytest.raises(DataError, match="images"):
        join_jobs([Job({"a": "1"}, result(0.5)), Job({"a": "2"}, result(0.5, images=8))])


def test_jobs_are_found_in_their_order_wherever_they_lie(tmp_path):
    write_job(tmp_path, 10, ["cost=1"], 0.5, "cost=1")
    write_job(tmp_path, 9, ["cost=2"], 0.4, "deep/cost=2")
    write_job(tmp_path, 8, ["cost=3"], None, "failed")
    assert [job.overrides for job in find_jobs(tmp_path, {})] == [{"cost": "2"}, {"cost": "1"}]


def config(folder, number=0):
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}, "job": {"num": number}}})


def ended(status, *overrides):
    return JobReturn(overrides=list(overrides), status=status)


def test_joined_after_every_job_and_failures_named(tmp_path, capsys):
    write_job(tmp_path, 7, ["cost=7"], 0.9, "7")  # of an earlier sweep into the same folder
    callback = JoinTradeOffs()
    callback.on_multirun_start(config(tmp_path))
    write_job(tmp_path, 0, ["cost=1"], 0.5, "0")
    callback.on_job_end(config(tmp_path), ended(JobStatus.COMPLETED, "cost=1"))
    assert {point.model for point in TradeOff.read(tmp_path / "tradeoff.json").points} == {"teacher", "student"}
    callback.on_job_end(config(tmp_path, 1), ended(JobStatus.FAILED, "cost=[2]"))
    assert "job 1 failed (cost=[2])" in capsys.readouterr().out
    write_job(tmp_path, 2, ["cost=3"], 0.4, "2")
    callback.on_job_end(config(tmp_path, 2), ended(JobStatus.COMPLETED, "cost=3"))
    callback.on_multirun_end(config(tmp_path))
    models = {point.model for point in TradeOff.read(tmp_path / "tradeoff.json").points}
    assert models == {"teacher", "student cost=1", "student cost=3"}
    assert (tmp_path / "tradeoff.png").is_file()
    out = capsys.readouterr().out
    assert "Trade-off of the sweep" in out
    assert str(tmp_path / "tradeoff.json") in out.replace("\n", "")


def test_single_runs_are_left_alone(tmp_path):
    write_job(tmp_path, 0, ["cost=1"], 0.5, "0")
    JoinTradeOffs().on_job_end(config(tmp_path), ended(JobStatus.COMPLETED))
    assert not (tmp_path / "tradeoff.json").exists()


def test_what_does_not_fit_is_said(tmp_path, capsys):
    for number, images in enumerate((9, 8)):
        write_job(tmp_path, number, [f"data={number}"], 0.5, str(number))
        result(0.5, images=images).write(tmp_path / str(number) / "tradeoff.json")
    assert JoinTradeOffs().join(tmp_path) is None
    assert "no joined trade-off" in capsys.readouterr().out
