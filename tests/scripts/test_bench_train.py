"""The bench of training: both forms hold the same requests, and its figures follow from what steps took."""

from __future__ import annotations

from scripts.bench_train import PRODUCT, figures, main, ratios, share, trajectories

STEPS = [
    {
        "seconds": 2.0,
        "cpu_s": 1.0,
        "targets": 100,
        "product_s": 0.5,
        "product_cpu_s": 0.25,
        "flops": {"base": 60, "lora": 20, "attention": 15, "head": 5, "total": 100},
    },
    {
        "seconds": 6.0,
        "cpu_s": 3.0,
        "targets": 300,
        "product_s": 0.5,
        "product_cpu_s": 0.25,
        "flops": {"base": 180, "lora": 60, "attention": 45, "head": 15, "total": 300},
    },
]


def test_both_forms_hold_the_same_requests_and_the_newer_is_shorter():
    found = trajectories("tiny", 2000, 100_000)
    ours, old = found["ours"], found["ours_old"]
    assert len(ours) == len(old) >= 1
    assert sum(map(len, ours)) >= 2000 > sum(map(len, ours[:-1]))
    for new, former in zip(ours, old):
        assert len(new) - new.prompt_tokens < len(former) - former.prompt_tokens


def test_figures_of_a_variant_are_over_all_its_steps():
    examples = trajectories("tiny", 1, 100_000)["ours"]
    found = figures(STEPS, examples * 4, 2048)
    assert (found["supervised_tokens_per_s"], found["supervised_tokens"], found["steps"]) == (50, 400, 2)
    # four trajectories in eight seconds, four of them this process's own
    assert (found["trajectories_per_hour"], found["trajectories_per_cpu_hour"]) == (1800, 3600)
    assert found["ids_per_trajectory"] == len(examples[0]) and found["peak_memory_mib"] == 2


def test_the_share_is_of_a_large_product_by_either_clock():
    found = share(STEPS)
    product = 2 * PRODUCT**3
    assert found["flops_by_part"] == {"base": 0.6, "lora": 0.2, "attention": 0.15, "head": 0.05}
    assert found["matmul_gflops_per_s"] == round(product / 0.5e9, 1)
    assert found["matmul_gflops_per_s_cpu"] == round(product / 0.25e9, 1)
    slower = [
        step | {"flops": {name: count * product // 100 for name, count in step["flops"].items()}} for step in STEPS
    ]
    # a product each second-hundredth of a step's operations: (1 + 3) products in 8 s, where one takes 0.5 s
    assert share(slower)["share"] == 4 * 0.5 / 8
    assert share(slower)["share_cpu"] == 4 * 0.25 / 4


def test_forms_are_compared_by_trajectories_and_trainers_by_supervised_ids():
    def row(ids_a_second: float, an_hour: float) -> dict[str, float]:
        return {
            "supervised_tokens_per_s": ids_a_second,
            "trajectories_per_hour": an_hour,
            "trajectories_per_cpu_hour": 2 * an_hour,
        }

    result = {"ours": row(50, 300), "ours_old": row(60, 200), "trl": row(20, 100), "trl_packed": row(25, 100)}
    assert ratios(result, tuple(result)) == {
        "ratio_old_form": 1.5,
        "ratio_old_form_cpu": 1.5,
        "ratio": 2.5,
        "ratio_packed": 2.0,
    }


def test_of_one_mode_the_form_weighs_as_much_as_that_mode_writes():
    own = {}
    for mode in ("speculative", "eager_end"):
        found = trajectories("tiny", 4000, 100_000, mode)
        ours, old = (sum(len(one) - one.prompt_tokens for one in found[form]) for form in ("ours", "ours_old"))
        own[mode] = old / ours
    assert own["speculative"] > own["eager_end"] > 1


def test_a_mode_that_is_none_is_refused(capsys):
    assert main(["mode=eager"]) == 2
    assert "unknown mode 'eager'; use all, sequential, " in capsys.readouterr().err
