from dagster import AssetCheckResult, AssetKey, asset, asset_check, job, materialize, op
from phlo.interrupts import run_interruptible
from phlo.orchestration.current import current_step


def test_there_is_no_step_outside_of_a_run():
    assert current_step() == {}


def test_a_step_is_named_after_its_one_asset_also_in_threads_of_its_work():
    steps = []

    @asset(key=AssetKey(["shop", "orders"]))
    def orders():
        steps.append(run_interruptible(current_step, timeout_seconds=60))

    @asset_check(asset=orders)
    def is_small():
        steps.append(current_step())
        return AssetCheckResult(passed=True)

    run = materialize([orders, is_small])
    assert steps == [
        {"run": run.run_id, "asset": "shop/orders"},
        {"run": run.run_id, "asset": "shop__orders_is_small"},
    ]


def test_a_step_of_no_asset_is_named_after_its_op():
    steps = []

    @op
    def clean():
        steps.append(current_step())

    @job
    def cleaning():
        clean()

    run = cleaning.execute_in_process()
    assert steps == [{"run": run.run_id, "asset": "clean"}]
